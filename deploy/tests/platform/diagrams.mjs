// Draws diagrams as GitHub does, and measures what a reader sees of them.
//
//   node diagrams.mjs CHROMIUM PLAYWRIGHT MERMAID DIRECTORY < DIAGRAMS
//
// DIAGRAMS is JSON: [{name, file, line, text}]; `line` is that of the text's first line. DIRECTORY
// gets NAME.svg, NAME-light.png and NAME-dark.png. Each problem is a line of stderr.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

const [executablePath, playwright, mermaid, directory] = process.argv.slice(2);
const { chromium } = createRequire(join(playwright, "package.json"))("playwright-core");
const diagrams = JSON.parse(readFileSync(0, "utf8"));

// The width of a README's column, and GitHub's two backgrounds and themes of Mermaid's.
const WIDTH = 900;
const THEMES = {
  light: { theme: "default", background: "#ffffff" },
  dark: { theme: "dark", background: "#0d1117" },
};

const problems = [];
const browser = await chromium.launch({
  executablePath,
  args: [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    // Root has no sandbox, and a container has no room in /dev/shm.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    // No host has an address: a picture needs none.
    "--host-resolver-rules=MAP * ~NOTFOUND",
  ],
});
try {
  mkdirSync(directory, { recursive: true });
  for (const [name, { theme, background }] of Object.entries(THEMES)) {
    const page = await browser.newPage({ viewport: { width: WIDTH + 40, height: 800 } });
    await page.setContent(
      `<body style="margin: 20px; background: ${background}"><div id="drawn" style="width: ${WIDTH}px"></div>`,
    );
    await page.addScriptTag({ path: join(mermaid, "node_modules/mermaid/dist/mermaid.min.js") });
    for (const diagram of diagrams) {
      const { svg, error, line, found } = await page.evaluate(draw, { theme, text: diagram.text });
      const where = `${diagram.file}:${diagram.line + (line ?? 1) - 1}: ${name}`;
      if (error) {
        // It is none of a theme's.
        if (name === "light") problems.push(`${where}: ${error}`);
        continue;
      }
      problems.push(...found.map((problem) => `${where}: ${problem}`));
      if (name === "light") writeFileSync(join(directory, `${diagram.name}.svg`), svg);
      await page.locator("#drawn").screenshot({ path: join(directory, `${diagram.name}-${name}.png`) });
    }
    await page.close();
  }
} finally {
  await browser.close();
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;

// Runs in the page.
async function draw({ theme, text }) {
  const { mermaid } = globalThis;
  mermaid.initialize({ startOnLoad: false, theme });
  let kind;
  try {
    kind = (await mermaid.parse(text)).diagramType;
  } catch (error) {
    const said = `${error.message ?? error}`;
    // At the end of the text, the line after it is named.
    const line = Number(/line (\d+)/.exec(said)?.[1] ?? 1);
    return { error: said, line: Math.min(line, text.trimEnd().split("\n").length) };
  }
  const { svg } = await mermaid.render("diagram", text);
  const drawn = document.querySelector("#drawn");
  drawn.innerHTML = svg;

  const root = drawn.querySelector("svg");
  const found = [];
  const all = (selector) => [...root.querySelectorAll(selector)];
  const said = (element) => JSON.stringify(element.textContent.trim().replace(/\s+/g, " "));
  const box = (element) => element.getBoundingClientRect();
  const inside = (inner, outer) =>
    inner.left >= outer.left - 1 &&
    inner.right <= outer.right + 1 &&
    inner.top >= outer.top - 1 &&
    inner.bottom <= outer.bottom + 1;
  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const pairs = (list) => list.flatMap((a, at) => list.slice(at + 1).map((b) => [a, b]));
  const disjoint = (elements, what) => {
    for (const [a, b] of pairs(elements)) {
      if (overlap(box(a), box(b))) found.push(`two ${what} overlap: ${said(a)} and ${said(b)}`);
    }
  };
  const luminance = (colour) => {
    const parts = colour.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // As WCAG measures it. Its 4.5 is a little more than the notes of the dark theme itself have.
  const standsOut = (text, colour, behind) => {
    const [dark, bright] = [luminance(colour), luminance(behind)].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < 4) found.push(`the contrast is ${contrast.toFixed(1)}, less than 4: ${said(text)}`);
  };
  const style = (element) => getComputedStyle(element);
  const holds = (outer, inner) => {
    if (!inside(box(inner), box(outer))) found.push(`the text is outside its box: ${said(inner)}`);
    const filled = outer.matches("g") ? outer.querySelector("*") : outer;
    const written = inner.querySelector("tspan") ?? inner;
    const colour = written instanceof SVGElement ? style(written).fill : style(written).color;
    standsOut(inner, colour, style(filled).fill);
  };

  // The picture is shrunk to the column, and its text with it.
  const scale = box(root).width / root.viewBox.baseVal.width;
  const texts = all("text, .nodeLabel, .edgeLabel p, .cluster-label p").filter((text) => text.textContent.trim());
  for (const text of texts) {
    const size = parseFloat(style(text).fontSize) * scale;
    if (size < 10) {
      found.push(`the text is ${size.toFixed(1)} px high on GitHub, less than 10: ${said(text)}`);
      break;
    }
  }
  for (const text of texts) {
    if (!inside(box(text), box(root))) found.push(`the text is cut off: ${said(text)}`);
  }
  if (!root.querySelector(":scope > title")) found.push("it has no accTitle");

  if (kind === "flowchart-v2") {
    const nodes = all("g.node");
    const groups = all("g.cluster");
    const labels = all("g.edgeLabel").filter((label) => label.textContent.trim());
    for (const node of nodes) holds(node.querySelector(".label-container"), node.querySelector(".nodeLabel"));
    for (const group of groups) holds(group.querySelector("rect"), group.querySelector(".cluster-label p"));
    disjoint(nodes, "nodes");
    disjoint([...labels, ...nodes], "labels or nodes");
    disjoint([...labels, ...groups.map((group) => group.querySelector(".cluster-label p"))], "labels");

    const edges = all("path.flowchart-link").map((path) => {
      const matrix = path.getScreenCTM();
      const length = path.getTotalLength();
      const count = Math.max(2, Math.ceil(length / 3));
      const points = Array.from({ length: count + 1 }, (_, at) => {
        const { x, y } = path.getPointAtLength((length * at) / count).matrixTransform(matrix);
        return { x, y };
      });
      return { name: path.id.replace(/^.*?L_/, "").replace(/_\d+$/, "").replace("_", " to "), points };
    });
    const near = (a, b, distance) => Math.hypot(a.x - b.x, a.y - b.y) < distance;
    const within = ({ x, y }, { left, right, top, bottom }, margin) =>
      x > left - margin && x < right + margin && y > top - margin && y < bottom + margin;

    for (const { name, points } of edges) {
      const ends = [points[0], points.at(-1)];
      if (!ends.every((end) => [...nodes, ...groups].some((its) => within(end, box(its), 12)))) {
        found.push(`the line ${name} ends in the air`);
      }
      for (const node of nodes) {
        const area = box(node);
        // Where an arrow's head is, the line ends a few pixels before its node.
        if (ends.some((end) => within(end, area, 12))) continue;
        if (points.some((point) => within(point, area, -1))) {
          found.push(`the line ${name} goes through ${said(node)}`);
        }
      }
    }

    for (const group of groups) {
      const title = group.querySelector(".cluster-label p");
      for (const { name, points } of edges) {
        if (points.some((point) => within(point, box(title), 0))) {
          found.push(`the line ${name} goes through the title ${said(title)}`);
        }
      }
    }

    const turn = (a, b, c) => (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    const cross = (a, b, c, d) =>
      turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0;
    for (const [one, other] of pairs(edges)) {
      const ends = [one.points[0], one.points.at(-1)].filter((end) =>
        [other.points[0], other.points.at(-1)].some((its) => near(end, its, 12)),
      );
      const crossed = one.points.slice(1).some((b, at) => {
        // Lines that begin or end at one place touch there.
        if (ends.some((end) => near(b, end, 15))) return false;
        return other.points.slice(1).some((d, its) => cross(one.points[at], b, other.points[its], d));
      });
      if (crossed) found.push(`two lines cross: ${one.name}, and ${other.name}`);
    }
  } else if (kind === "sequence") {
    for (const actor of all("rect.actor")) {
      for (const text of actor.parentElement.querySelectorAll("text.actor")) holds(actor, text);
    }
    for (const note of all("rect.note")) {
      for (const text of note.parentElement.querySelectorAll("text.noteText")) holds(note, text);
    }
    const messages = all("text.messageText");
    disjoint([...messages, ...all("rect.note")], "messages or notes");
    const page = style(document.body).backgroundColor;
    for (const message of messages) standsOut(message, style(message).fill, page);
  } else {
    found.push(`nothing measures a diagram of the kind ${kind} yet`);
  }
  return { svg, found };
}
