// Opens /docs as a person would: saves a date of birth and asks for the greeting, by "Try it out".
// Whatever the browser complains of is a failure.
//
//   node docs.mjs ORIGIN SCREENSHOT CHROMIUM FOLDER_OF_NODE_MODULES

import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

const [origin, screenshot, executablePath, packages] = process.argv.slice(2);
const { chromium } = createRequire(join(packages, "package.json"))("playwright-core");

const complaints = [];
const complain = (what) => complaints.push(what);

const browser = await chromium.launch({
  executablePath,
  args: [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    // Root has no sandbox, and a container has no room in /dev/shm.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    // No other host has an address.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  page.setDefaultTimeout(30_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      complain(`console ${message.type()}: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => complain(`page error: ${error}`));
  page.on("requestfailed", (request) =>
    complain(`request failed: ${request.url()}: ${request.failure()?.errorText}`),
  );
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && url.protocol !== "data:") {
      complain(`request to another origin: ${url}`);
    }
  });
  page.on("response", (response) => {
    if (response.status() >= 400) complain(`${response.status()}: ${response.url()}`);
  });
  // This is not subject to the page's policy, and hears what that policy forbids.
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI}`),
    ),
  );

  const answer = await page.goto(`${origin}/docs`, { waitUntil: "load" });
  const policy = answer.headers()["content-security-policy"] ?? "";
  if (!policy.includes("default-src 'none'") || policy.includes("unsafe")) {
    complain(`the content security policy is not strict: ${policy}`);
  }

  const execute = async (method, username, body, status) => {
    const block = page
      .locator(`.opblock-${method}`)
      .filter({ has: page.locator('[data-path="/hello/{username}"]') });
    await block.locator(".opblock-summary-control").click();
    await block.getByRole("button", { name: "Try it out" }).click();
    await block.locator('[data-param-name="username"] input').fill(username);
    if (body) await block.locator("textarea.body-param__text").fill(body);
    await block.getByRole("button", { name: "Execute" }).click();
    const response = block.locator(".live-responses-table .response");
    await response.locator(".response-col_status", { hasText: String(status) }).waitFor();
    return { block, text: await response.textContent() };
  };
  const put = await execute("put", "Grace", '{"dateOfBirth":"1906-12-09"}', 204);
  await put.block.locator(".opblock-summary-control").click(); // closes it
  const get = await execute("get", "Grace", undefined, 200);
  if (!/Hello, Grace! (Your birthday is in \d+ day\(s\)|Happy birthday!)/.test(get.text)) {
    complain(`no greeting: ${get.text}`);
  }
  await page.setViewportSize({ width: 1200, height: 1200 });
  await get.block.evaluate((block) => block.scrollIntoView());
  await page.screenshot({ path: screenshot });
} catch (error) {
  complain(`${error}`);
} finally {
  await browser.close();
}
for (const complaint of complaints) console.error(complaint);
process.exitCode = complaints.length > 0 ? 1 : 0;
