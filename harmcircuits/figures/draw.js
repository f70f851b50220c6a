"use strict";
// Draws the figures of a page: dark where its text is light, and no higher than their legends need at its width.
const OPTIONS = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "" };
const PAPER = 660; // px, which A4 and US letter both leave
const COLOUR = /color(way|scale)?$/;
const figures = new Map();
const seen = new Map(); // how wide and how dark each was drawn last
const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

function inDark(node, partners, isColour = false) {
  if (typeof node === "string") return isColour && Object.hasOwn(partners, node) ? partners[node] : node;
  if (Array.isArray(node)) return node.map((one) => inDark(one, partners, isColour));
  if (node === null || typeof node !== "object") return node;
  return Object.fromEntries(Object.entries(node).map(([key, one]) => [key, inDark(one, partners, COLOUR.test(key))]));
}

function isDark(box) {
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = getComputedStyle(box).color; // in whatever notation
  pixel.fillRect(0, 0, 1, 1);
  const [red, green, blue] = pixel.getImageData(0, 0, 1, 1).data;
  return red + green + blue > 3 * 128;
}

async function draw(box, { width = box.clientWidth, dark = isDark(box) } = {}) {
  const last = seen.get(box);
  if (width > 0) width = Math.max(width, figures.get(box).layout.meta?.least_width ?? 0); // narrower boxes scroll
  if (width === 0 || (last?.width === width && last.dark === dark)) return;
  seen.set(box, { width, dark });
  const figure = figures.get(box);
  const partners = figure.layout.meta?.dark;
  const { data, layout } = dark && partners ? inDark(figure, partners) : structuredClone(figure); // plotly writes into both
  try {
    await Plotly.react(box, data, { ...layout, width, uirevision: true }, OPTIONS); // what a reader switched off stays off
    await fit(box, figure.layout);
    tell(box);
    box.style.minHeight = "0"; // what was kept free for it
  } catch (error) {
    box.textContent = "This figure could not be drawn: " + error.message;
  }
}

// The box is an image to a screen reader until plotly's buttons are in it; then the drawing is, and they are beside it.
function tell(box) {
  const [drawing, ...above] = box.querySelectorAll(".main-svg");
  above.forEach((layer) => layer.setAttribute("aria-hidden", "true"));
  drawing.setAttribute("role", "img");
  if (box.hasAttribute("aria-label")) drawing.setAttribute("aria-label", box.getAttribute("aria-label"));
  box.removeAttribute("role");
  box.removeAttribute("aria-label");
}

// A figure leaves room for its legend on a phone; wider boxes take fewer lines.
async function fit(box, { height, margin, legend }) {
  const drawn = box.querySelector("g.legend");
  if (drawn === null || !(legend?.y < 0 && margin?.b)) return;
  const under = -legend.y * (height - margin.t - margin.b);
  const bottom = Math.ceil(under + drawn.getBBox().height + 8);
  await Plotly.relayout(box, { height: height - margin.b + bottom, "margin.b": bottom });
}

const every = (options) => figures.forEach((_, box) => draw(box, options));
const wide = new ResizeObserver((entries) => {
  requestAnimationFrame(() => entries.forEach((entry) => draw(entry.target))); // not while sizes are being told
});
for (const box of document.querySelectorAll("[data-figure]")) {
  figures.set(box, JSON.parse(document.getElementById(box.dataset.figure).textContent));
  wide.observe(box); // which also draws it for the first time
}
const switched = new MutationObserver(() => every());
for (const root of [document.documentElement, document.body]) switched.observe(root, { attributes: true });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => every());
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((folded) => { folded.open = true; });
  every({ width: PAPER, dark: false });
});
window.addEventListener("afterprint", () => every());
