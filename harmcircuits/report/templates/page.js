"use strict";
const options = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "" };
const boxes = Array.from(document.querySelectorAll("[data-figure]"));
for (const box of boxes) {
  const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  Plotly.newPlot(box, figure.data, figure.layout, options).catch((error) => {
    box.textContent = "This figure could not be drawn: " + error.message;
  });
}
window.addEventListener("beforeprint", () => boxes.forEach((box) => Plotly.Plots.resize(box)));
window.addEventListener("afterprint", () => boxes.forEach((box) => Plotly.Plots.resize(box)));
