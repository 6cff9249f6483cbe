// Prints the provider's schemas of the resource types, data sources and ephemeral resources that
// are named on stdin, as JSON: {"resource": [TYPE…], "data": […], "ephemeral": […]}.
//
// No provider is at hand where these checks run, and its schema is in the package that was
// generated from it. The package is code for another library, cdktf, so its own code is run with
// a library in cdktf's place that records: what it would have written down is the schema. What
// is required and what is computed is in the comments of its TypeScript, which its source maps
// carry.
//
// Lost in that package, and so unknown here: minimal and maximal numbers of blocks other than
// one, which attributes are sensitive, default values, deprecations. By hand is BY_HAND.
import { existsSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";

const [packages] = process.argv.slice(2);
const library = `${packages}/node_modules/@cdktf/provider-aws/lib`;

const flags = (which) => ({
  required: which === "required",
  optional: which === "optional" || which === "either",
  computed: which === "computed" || which === "either",
});
const attribute = (type, which, more = {}) => ({ type, ...flags(which), ...more });

// What the package does not have, as the provider's documentation has it.
const BY_HAND = {
  // https://registry.terraform.io/providers/hashicorp/aws/6.25.0/docs/ephemeral-resources
  ephemeral: {
    aws_secretsmanager_random_password: {
      exclude_characters: attribute("string", "optional"),
      exclude_lowercase: attribute("bool", "optional"),
      exclude_numbers: attribute("bool", "optional"),
      exclude_punctuation: attribute("bool", "optional"),
      exclude_uppercase: attribute("bool", "optional"),
      include_space: attribute("bool", "optional"),
      password_length: attribute("number", "optional"),
      random_password: attribute("string", "computed"),
      region: attribute("string", "either"),
      require_each_included_type: attribute("bool", "optional"),
    },
    aws_secretsmanager_secret_version: {
      arn: attribute("string", "computed"),
      created_date: attribute("string", "computed"),
      region: attribute("string", "either"),
      secret_binary: attribute("string", "computed", { sensitive: true }),
      secret_id: attribute("string", "required"),
      secret_string: attribute("string", "computed", { sensitive: true }),
      version_id: attribute("string", "either"),
      version_stage: attribute("string", "optional"),
      version_stages: attribute(["list", "string"], "computed"),
    },
  },
  sensitive: {
    aws_db_instance: ["password"],
    aws_secretsmanager_secret_version: ["secret_binary", "secret_string"],
  },
};

// Answers every property with itself: the code that is recorded never finds a value missing.
const anything = new Proxy(() => {}, { get: () => anything });

// What is recorded, beside the properties of the package's own.
const METADATA = Symbol("metadata");
const NAME = Symbol("name");
const KIND = Symbol("kind");

// An attribute's name in Terraform, and its type.
const recorded = (type) => (name) => ({ name, type });
class Base {
  constructor(_, __, options) {
    this[METADATA] = options?.terraformGeneratorMetadata;
  }
  getStringAttribute = recorded("string");
  getNumberAttribute = recorded("number");
  getBooleanAttribute = recorded("bool");
  getListAttribute = recorded(["list", "string"]);
  getNumberListAttribute = recorded(["list", "number"]);
  getStringMapAttribute = recorded(["map", "string"]);
  getNumberMapAttribute = recorded(["map", "number"]);
  getBooleanMapAttribute = recorded(["map", "bool"]);
  interpolationForAttribute = recorded("dynamic");
}
class Complex extends Base {
  constructor(parent, name) {
    super(parent, name);
    this[NAME] = name;
  }
}
class ComplexList extends Complex {
  constructor(parent, name, wrapsSet) {
    super(parent, name);
    this[KIND] = wrapsSet ? "set" : "list";
  }
}
class ComplexMap extends Complex {
  [KIND] = "map";
}
// A map of simple values, as an attribute by itself.
const mapOf = (type) =>
  function (_, name) {
    return { name, type: ["map", type] };
  };
const cdktf = {
  TerraformResource: Base,
  TerraformDataSource: Base,
  TerraformProvider: Base,
  ComplexObject: Complex,
  ComplexList,
  ComplexMap,
  StringMap: mapOf("string"),
  NumberMap: mapOf("number"),
  BooleanMap: mapOf("bool"),
  Fn: { tolist: ({ name, type }) => ({ name, type: ["set", type[1]] }) },
  Token: { asAny: (value) => value, asNumberList: (value) => value },
  Tokenization: { isResolvable: () => false },
  canInspect: () => true,
  isComplexElement: () => false,
  stringToHclTerraform: () => "string",
  numberToHclTerraform: () => "number",
  booleanToHclTerraform: () => "bool",
  anyToHclTerraform: () => "dynamic",
  hashMapperHcl: (of) => () => ["map", of(anything)],
  listMapperHcl: (of, isBlock) => () => ({ many: of(anything), isBlock }),
};

class Module {
  constructor(directory) {
    const code = readFileSync(`${library}/${directory}/index.js`, "utf8");
    const [, map] = code.match(/^\/\/# sourceMappingURL=data:application\/json;base64,(.+)$/m);
    const source = JSON.parse(Buffer.from(map, "base64")).sourcesContent[0];
    this.flags = {};
    for (const part of source.split(/^export class /m).slice(1)) {
      const found = part.matchAll(/^ *\/\/ (\w+) - computed: (\w+), optional: (\w+), required: (\w+)$/gm);
      this.flags[part.match(/^\w+/)[0]] = Object.fromEntries(
        [...found].map(([, name, ...are]) => {
          const [computed, optional, required] = are.map((is) => is === "true");
          return [name, { computed, optional, required }];
        }),
      );
    }
    this.classes = {};
    new Function("exports", "require", code)(this.classes, (name) => {
      if (name !== "cdktf") throw new Error(`${directory} needs ${name}`);
      return cdktf;
    });
  }

  // The block of the class `name`, whose arguments are `entries`.
  block(name, entries) {
    const known = this.flags[name] ?? {};
    const attributes = {};
    const blocks = {};
    for (const [argument, { value, type }] of Object.entries(entries)) {
      const flags = known[argument] ?? { optional: true, computed: false, required: false };
      // A list or set of one structure or of many, or one structure by itself.
      const many = value.many;
      const nested = many ?? value;
      if (typeof nested === "string" || Array.isArray(nested)) {
        attributes[argument] = { type: many ? [type, many] : value, ...flags };
        continue;
      }
      const block = this.block(this.element(entries[argument]), nested);
      if (many && !value.isBlock) {
        attributes[argument] = { type: [type, objectOf(block)], ...flags };
        continue;
      }
      blocks[argument] = {
        nesting: type === "struct" ? "SINGLE" : type.toUpperCase(),
        min_items: type !== "struct" && flags.required ? 1 : 0,
        max_items: many || type === "struct" ? 0 : 1,
        block,
      };
    }
    for (const { name: result, type } of this.results(name)) {
      if (!attributes[result] && !blocks[result]) {
        attributes[result] = { type, ...(known[result] ?? flags("computed")) };
      }
    }
    return { attributes, blocks };
  }

  // The class of an argument's structure.
  element({ type, storageClassType }) {
    const name = type === "struct" ? storageClassType : storageClassType.replace(/List$/, "");
    return `${name}OutputReference`;
  }

  // Every attribute that can be read, with its type.
  results(name) {
    const Class = this.classes[name];
    if (!Class) return [];
    const object = new Class(anything, "", {});
    const getters = Object.entries(Object.getOwnPropertyDescriptors(Class.prototype))
      .filter(([name, { get }]) => get && name !== "internalValue" && !name.endsWith("Input"));
    return getters.flatMap(([getter]) => {
      const result = object[getter];
      if (result === undefined) return []; // The provider's arguments, which nobody can read.
      if (!(result instanceof Complex)) return result;
      const element = result.constructor.name.replace(/(List|Map|OutputReference)$/, "");
      const results = this.results(`${element}OutputReference`);
      const type = ["object", Object.fromEntries(results.map(({ name, type }) => [name, type]))];
      return { name: result[NAME], type: [result[KIND] ?? "list", type] };
    });
  }

  // The schema of the class that `is` tells.
  schema(is) {
    const [name, Class] = Object.entries(this.classes).find(([, value]) => is(value)) ?? [];
    if (!Class) return undefined;
    return this.block(name, Class.prototype.synthesizeHclAttributes.call(anything));
  }
}

function objectOf({ attributes, blocks }) {
  const types = Object.entries(attributes).map(([name, { type }]) => [name, type]);
  for (const [name, { nesting, block }] of Object.entries(blocks)) {
    const type = objectOf(block);
    types.push([name, nesting === "SINGLE" ? type : [nesting.toLowerCase(), type]]);
  }
  return ["object", Object.fromEntries(types)];
}

function schemas(types, prefix) {
  const found = {};
  for (const type of types) {
    const directory = prefix + type.replace(/^aws_/, "").replaceAll("_", "-");
    if (!existsSync(`${library}/${directory}`)) continue; // Terraform says that it is unknown.
    const schema = new Module(directory).schema(({ tfResourceType }) => tfResourceType === type);
    if (!schema) throw new Error(`${directory} is not ${type}`);
    for (const [name, attribute] of Object.entries(schema.attributes)) {
      // The provider names what is never stored like this, and nothing else.
      if (prefix === "" && name.endsWith("_wo")) attribute.write_only = attribute.sensitive = true;
      if (BY_HAND.sensitive[type]?.includes(name)) attribute.sensitive = true;
    }
    found[type] = schema;
  }
  return found;
}

const wanted = JSON.parse(await text(process.stdin));
const provider = new Module("provider");
console.log(
  JSON.stringify({
    version: new provider.classes.AwsProvider(anything, "", {})[METADATA].providerVersion,
    provider: provider.schema(({ tfResourceType }) => tfResourceType === "aws"),
    resource: schemas(wanted.resource, ""),
    data: schemas(wanted.data, "data-aws-"),
    ephemeral: Object.fromEntries(
      wanted.ephemeral
        .filter((type) => type in BY_HAND.ephemeral)
        .map((type) => [type, { attributes: BY_HAND.ephemeral[type], blocks: {} }]),
    ),
  }),
);
