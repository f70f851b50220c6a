// What the theme leaves out for keyboards and screen readers: arrow keys reach what scrolls, and landmarks have names of their own.
const SCROLLING = {
  "pre > code": "Code",
  ".highlight-ipynb": "Code",
  ".jp-MarkdownOutput pre": "Code",
  ".jp-OutputArea-output pre": "Output",
  ".md-typeset__scrollwrap": "Table",
};
const BOXES = Object.keys(SCROLLING).join(", ");
const watched = new WeakSet();
const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => reach(target)));

// A group and no region: a page has many, and landmarks are few.
function reach(box) {
  const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
  const name = SCROLLING[Object.keys(SCROLLING).find((selector) => box.matches(selector))];
  for (const [key, value] of Object.entries({ tabindex: "0", role: "group", "aria-label": name })) {
    if (!scrolls) box.removeAttribute(key);
    else if (box.getAttribute(key) !== value) box.setAttribute(key, value);
  }
}

function mark() {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  for (const box of document.querySelectorAll(BOXES)) {
    if (watched.has(box)) continue;
    watched.add(box);
    reach(box);
    sizes.observe(box);
  }
  // A button beside code and a part of a table of contents are no landmarks.
  for (const nav of document.querySelectorAll(".md-code__nav, .md-nav--secondary .md-nav")) {
    nav.setAttribute("role", "none");
    nav.removeAttribute("aria-label");
  }
  // The label of a section that has a page of its own is an arrow without text.
  for (const nav of document.querySelectorAll("nav[aria-labelledby]")) {
    if (document.getElementById(nav.getAttribute("aria-labelledby"))?.textContent.trim()) continue;
    nav.setAttribute("aria-label", nav.querySelector(".md-nav__title").textContent.trim());
    nav.removeAttribute("aria-labelledby");
  }
}

mark();
new MutationObserver(mark).observe(document.body, { childList: true, subtree: true });
// Where nothing hovers, as on a phone, the theme takes away what code needs to be reached.
new MutationObserver((changes) => changes.forEach(({ target }) => target.matches(BOXES) && reach(target))).observe(
  document.body,
  { attributeFilter: ["tabindex"], subtree: true },
);
