// Opens every page of the built book in Chromium, on a desktop, a phone and a small phone, light and dark, and says what
// a reader would stumble over. Run by `.ci/browser`.
//
// usage: node browser.mjs FOLDER-OF-PAGES FOLDER-OF-NODE-MODULES CHROMIUM

import { createRequire } from "node:module";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [pages, modules, chromium] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "here.js"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const WIDTHS = [1280, 390, 320];
const THEMES = ["light", "navy"];
const LARGEST = 150 * 1024;
// A word of each chapter, and the page that a search for it must find.
const TERMS = [
    ["eavesdropper", "01-https"],
    ["checksum", "00-open-wire"],
    ["interceptor", "01-https"],
    ["sentinel", "02-tls-sockets"],
    ["commitment", "03-encryption"],
    ["introspection", "04-jwt"],
    ["outbox", "05-client-server"],
];

const faults = [];
const fault = (where, what) => faults.push(`${where}: ${what}`);

const names = readdirSync(pages).filter((name) => name.endsWith(".html") && !["print.html", "toc.html", "404.html"].includes(name));
for (const name of names) {
    const size = statSync(join(pages, name)).size;
    if (size > LARGEST) fault(name, `${size} bytes of HTML, expected at most ${LARGEST}`);
}

const browser = await puppeteer.launch({
    executablePath: chromium,
    headless: true,
    protocolTimeout: 300000,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"],
});

const open = async (name, width, theme) => {
    // Two views at a time, and each has a theme of its own in its storage.
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    const where = `${name}, ${width} pixels, ${theme}`;
    page.on("console", (message) => message.type() === "error" && fault(where, `console: ${message.text()}`));
    page.on("pageerror", (error) => fault(where, `error: ${error.message}`));
    page.on("request", (request) => {
        const url = request.url();
        if (!url.startsWith("file:") && !url.startsWith("data:") && !url.startsWith("blob:")) fault(where, `asks for ${url}`);
    });
    await page.setViewport({ width, height: 900 });
    await page.evaluateOnNewDocument((theme) => {
        localStorage.setItem("mdbook-theme", theme);
        localStorage.setItem("mdbook-sidebar", "hidden");
    }, theme);
    await page.goto(pathToFileURL(join(resolve(pages), name)).href, { waitUntil: "networkidle0" });
    // The theme's own style sheets come after the page.
    await page.evaluate(() => document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 100))));
    return [page, where];
};

const views = names.flatMap((name) => WIDTHS.flatMap((width) => THEMES.map((theme) => [name, width, theme])));
const look = async ([name, width, theme]) => {
    const [page, where] = await open(name, width, theme);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (wide > 0) fault(where, `the page scrolls sideways by ${wide} pixels`);
    await page.evaluate(axe);
    const axed = () => page.evaluate(async () => {
        const result = await window.axe.run(document, { resultTypes: ["violations"] });
        return result.violations
            .filter((violation) => ["serious", "critical"].includes(violation.impact))
            .map((violation) => `${violation.id} (${violation.impact}), ${violation.nodes.length} times: ${violation.nodes[0].html.slice(0, 160)}`);
    });
    let found = await axed();
    if (found.length > 0) {
        // On a busy machine a style sheet of the theme may come late. What stays is a fault.
        await new Promise((done) => setTimeout(done, 2000));
        found = await axed();
    }
    for (const violation of found) fault(where, violation);
    // Folds open by the keyboard.
    const folds = await page.evaluate(() => {
        const shut = [];
        for (const fold of document.querySelectorAll("main details")) {
            fold.querySelector("summary").click();
            if (!fold.open) shut.push(fold.querySelector("summary").textContent);
        }
        return shut;
    });
    for (const fold of folds) fault(where, `a fold stays shut: ${fold}`);
    await page.browserContext().close();
};

// Two views at a time.
const worker = async () => {
    for (let view = views.shift(); view; view = views.shift()) {
        // A second time, if the browser didn't answer in time.
        for (const attempt of [1, 2]) {
            try {
                await look(view);
                break;
            } catch (error) {
                if (attempt === 2) fault(view.join(", "), `could not be looked at: ${error.message}`);
            }
        }
    }
};
const count = views.length;
await Promise.all([worker(), worker()]);

// The keyboard alone: Tab reaches the first fold, and Enter opens it.
{
    const [page, where] = await open("00-open-wire.html", 1280, "light");
    let reached = false;
    for (let press = 0; press < 400 && !reached; press += 1) {
        await page.keyboard.press("Tab");
        reached = await page.evaluate(() => document.activeElement?.tagName === "SUMMARY");
    }
    if (!reached) fault(where, "Tab does not reach a fold");
    await page.keyboard.press("Enter");
    const opened = await page.evaluate(() => document.activeElement?.parentElement?.open === true);
    if (!opened) fault(where, "Enter does not open a fold");
    await page.browserContext().close();
}

// The search finds a word of each chapter.
{
    const [page] = await open("index.html", 1280, "light");
    for (const [term, chapter] of TERMS) {
        const where = `search for ${term}`;
        await page.goto(pathToFileURL(join(resolve(pages), "index.html")).href + `?search=${term}`, { waitUntil: "load" });
        try {
            await page.waitForFunction(() => document.querySelectorAll("#mdbook-searchresults li, #searchresults li").length > 0, { timeout: 10000 });
            const links = await page.evaluate(() => [...document.querySelectorAll("#mdbook-searchresults a, #searchresults a")].map((link) => link.getAttribute("href")));
            if (!links.some((link) => link.includes(chapter))) fault(where, `does not find ${chapter}: ${links.slice(0, 5)}`);
        } catch (error) {
            fault(where, error.message);
        }
    }
    await page.browserContext().close();
}

await browser.close();
console.log(`${names.length} pages, ${count} views`);
for (const line of faults) console.log(line);
if (faults.length > 0) {
    console.log(`error: ${faults.length} things that a reader would stumble over`);
    process.exit(1);
}
