// Looks at a page as people do: on a desk, on a phone, in the dark, by keyboard, on paper.
//
// node look.mjs PACKAGES PAGE FOLDER: the folder of node_modules, a file of HTML, where pictures go. Prints what was seen
// as JSON. Chromium comes inside an npm package; its own libraries beside it are used, so that none have to be installed.
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [packages, page_file, folder] = process.argv.slice(2);
// So the package unpacks its own libraries and fonts, too; beside itself, once.
process.env.AWS_EXECUTION_ENV ??= "AWS_Lambda_nodejs20.x";
process.env.TMPDIR = join(packages, "..", "unpacked");
mkdirSync(process.env.TMPDIR, { recursive: true });
// The package's own list of font folders has fixed names, none of which is where it unpacked them just now.
const fonts = join(process.env.TMPDIR, "fonts");
process.env.FONTCONFIG_FILE = join(process.env.TMPDIR, "fonts-there.conf");
writeFileSync(process.env.FONTCONFIG_FILE, `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${fonts}</dir><cachedir>${fonts}-cache</cachedir></fontconfig>
`);
const require = createRequire(join(packages, "look.mjs"));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { default: chromium } = await load("@sparticuz/chromium");
const { default: puppeteer } = await load("puppeteer-core");

const browser = await puppeteer.launch({ executablePath: await chromium.executablePath(), args: chromium.args, headless: "shell" });
const requests = [];
const complaints = [];
const open = async (width, dark) => {
  const page = await browser.newPage();
  page.on("request", (r) => requests.push(r.url()));
  page.on("console", (m) => complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(String(e)));
  await page.setOfflineMode(true);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  await page.setViewport({ width, height: 900 });
  await page.goto(pathToFileURL(page_file).href);
  return page;
};
const facts = (page) => page.evaluate(() => {
  const brightness = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map((c) => {
      const x = c / 255;
      return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = brightness(getComputedStyle(document.body).backgroundColor);
  const contrast = (e) => {
    const ink = brightness(getComputedStyle(e).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  };
  const texts = [...document.querySelectorAll("h1,h2,h3,p,dt,dd,th,td,caption,summary,figcaption span,.said")].filter((e) => e.getClientRects().length);
  const wide = (e) => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && !e.closest("pre") && !e.classList.contains("skip") && (box.right > innerWidth + 1 || box.left < -1);
  };
  return {
    width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    outside: [...document.querySelectorAll("main *")].filter(wide).slice(0, 5).map((e) => e.outerHTML.slice(0, 120)),
    contrast: Math.min(...texts.map(contrast)),
    paper,
    // Without a font, no text takes any room: then nothing was looked at.
    words: Math.max(...texts.flatMap((e) => [...e.childNodes]).filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => {
      const range = document.createRange();
      range.selectNode(n);
      return range.getBoundingClientRect().width;
    })),
    headings: document.querySelectorAll("h1,h2").length,
    bars: [...document.querySelectorAll(".bar")].filter((e) => e.getBoundingClientRect().width > 2).length,
    points: document.querySelectorAll("svg circle, svg rect, svg path").length,
    smallest: Math.min(...texts.map((e) => parseFloat(getComputedStyle(e).fontSize))),
  };
});

const seen = {};
for (const [name, width, dark] of [["desk", 1280, false], ["dark", 1280, true], ["phone", 390, false], ["small", 320, true]]) {
  const page = await open(width, dark);
  seen[name] = await facts(page);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  await page.close();
}

// By keyboard: each press of the tabulator goes to something that can be seen to have the focus.
const page = await open(1280, false);
seen.stops = [];
for (let i = 0; i < 200; i++) {
  await page.keyboard.press("Tab");
  const stop = await page.evaluate(() => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const style = getComputedStyle(e);
    const box = e.getBoundingClientRect();
    return { name: e.tagName.toLowerCase(), outline: style.outlineStyle !== "none", inside: box.width > 0 && box.right > 0 };
  });
  if (!stop) break;
  seen.stops.push(stop);
}
seen.interactive = await page.evaluate(() => [...document.querySelectorAll("a,summary,[tabindex='0']")].filter((e) => e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true })).length);
// A summary opens with the space bar.
const summary = await page.$("summary");
if (summary) {
  await summary.focus();
  await page.keyboard.press("Space");
  seen.opened = await page.evaluate(() => document.querySelector("details").open);
}
await page.emulateMediaType("print");
seen.print = await facts(page);
const paper = await page.pdf({ path: join(folder, "page.pdf"), format: "A4" });
seen.pdf = paper.length;
await browser.close();
seen.requests = requests.filter((url) => !url.startsWith("file:") && !url.startsWith("data:"));
seen.complaints = complaints;
console.log(JSON.stringify(seen));
