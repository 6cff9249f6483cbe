// A provider for Terraform that has schemas and nothing behind them: it answers what `terraform
// validate` asks, and what `terraform test` asks of a provider that it mocks. It has no plan, no
// apply and no AWS; where it is asked for those, Terraform reports an error. Ephemeral resources,
// which Terraform does not mock, have a stand-in for what they read.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, schemas, port] = process.argv.slice(2);
const require = createRequire(`${packages}/package.json`);
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { decode, encode } = require("@msgpack/msgpack");

const schema = ({ attributes, blocks }) => ({ block: block(attributes, blocks) });
const block = (attributes, blocks) => ({
  attributes: Object.entries(attributes).map(([name, attribute]) => ({
    ...attribute,
    name,
    type: Buffer.from(JSON.stringify(attribute.type)),
  })),
  block_types: Object.entries(blocks).map(([type_name, { block: inner, ...nesting }]) => ({
    ...nesting,
    type_name,
    block: block(inner.attributes, inner.blocks),
  })),
});
const all = (found) =>
  Object.fromEntries(Object.entries(found).map(([type, found]) => [type, schema(found)]));

const STAND_IN = JSON.stringify({ username: "stand-in", password: "stand-in" });

// What was said of an ephemeral resource, and a value for each string that is read.
function opened({ type_name, config }) {
  const said = decode(config.msgpack);
  for (const [name, { type, computed }] of Object.entries(found.ephemeral[type_name].attributes)) {
    if (computed && type === "string") said[name] ??= STAND_IN;
  }
  return { result: { msgpack: encode(said) } };
}

const found = JSON.parse(readFileSync(schemas, "utf8"));
const answer = (response) => (_, done) => done(null, response);
const service = {
  GetSchema: answer({
    provider: schema(found.provider),
    resource_schemas: all(found.resource),
    data_source_schemas: all(found.data),
    ephemeral_resource_schemas: all(found.ephemeral),
  }),
  PrepareProviderConfig: ({ request }, done) => done(null, { prepared_config: request.config }),
  ValidateResourceTypeConfig: answer({}),
  ValidateDataSourceConfig: answer({}),
  ValidateEphemeralResourceConfig: answer({}),
  Configure: answer({}),
  OpenEphemeralResource: ({ request }, done) => done(null, opened(request)),
  CloseEphemeralResource: answer({}),
  Stop: answer({}),
};

const server = new grpc.Server({ "grpc.max_send_message_length": -1 });
const described = loader.loadSync(`${import.meta.dirname}/provider.proto`, { keepCase: true });
server.addService(described["tfplugin5.Provider"], service);
server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
