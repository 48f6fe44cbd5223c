// Opens the status page in Chromium as different people do, and prints what it found as JSON.
// node browser.mjs MODULES CHROMIUM URL FOLDER
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [modules, executablePath, url, folder] = process.argv.slice(2);
const require = createRequire(join(modules, "node_modules", "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const people = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  phone: { colorScheme: "light", viewport: { width: 360, height: 740 } },
  scriptless: { javaScriptEnabled: false, viewport: { width: 1280, height: 900 } },
};
const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const found = {};

const context0 = join(folder, "profile");
for (const [name, options] of Object.entries(people)) {
  // The policy of the page holds; only axe itself has to be let in.
  const context = await chromium.launchPersistentContext(`${context0}-${name}`, {
    executablePath, args, headless: true, ...options,
  });
  const page = await context.newPage();
  const complaints = [];
  const hosts = new Set();
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  await page.goto(url, { waitUntil: "load" });
  const told = { complaints, alerts: 0 };
  page.on("dialog", (dialog) => { told.alerts += 1; dialog.dismiss(); });
  if (name !== "scriptless") {
    await page.waitForFunction(() => document.getElementById("live").textContent === "Live.");
    const before = await page.textContent("#verdict");
    await page.waitForFunction((old) => document.getElementById("verdict").textContent !== old, before);
    await page.keyboard.press("Tab");
    told.focused = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    await page.evaluate(() => document.activeElement.blur());
  }
  told.verdict = await page.textContent("#verdict");
  told.scrollsSideways = name === "scriptless" ? false : await page.evaluate(
    () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
  );
  told.cutOff = name === "scriptless" ? [] : await page.evaluate(
    () => [...document.querySelectorAll(".scroll")]
      .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel),
  );
  told.title = await page.title();
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  if (name !== "scriptless") {
    // Evaluated by the debugger, which no policy of the page forbids.
    await page.evaluate(axe);
    const result = await page.evaluate(() => globalThis.axe.run());
    told.violations = result.violations.map((one) => `${one.id}: ${one.nodes[0].html}`);
    told.passes = result.passes.length;
  }
  told.hosts = [...hosts];
  found[name] = told;
  await context.close();
}
console.log(JSON.stringify(found));
