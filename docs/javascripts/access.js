// What the theme leaves out for keyboards and screen readers: a name for the search, and tables that scroll can be reached.
function mark() {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-typeset__scrollwrap").forEach((wrap) => wrap.setAttribute("tabindex", "0"));
}

mark();
new MutationObserver(mark).observe(document.body, { childList: true, subtree: true });
