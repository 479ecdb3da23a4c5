"use strict";
// Draws the figures: the first one at once, the others when they come near or the browser has nothing else to do.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const themes = read("themes");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 40rem)");
  const places = [...document.querySelectorAll(".plot")];
  const drawn = new Set();

  const template = (printing) => themes[dark.matches && !printing ? "dark" : "light"];

  const draw = (place) => {
    if (drawn.has(place)) return Promise.resolve();
    drawn.add(place);
    const spec = read(place.dataset.spec);
    const config = {
      displaylogo: false,
      responsive: true,
      displayModeBar: narrow.matches ? false : "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    };
    return Plotly.newPlot(place, spec.data, { ...spec.layout, template: template(false) }, config).then(() => {
      // Plotly's icons stand in buttons that have names.
      document.querySelectorAll(".modebar svg, #js-plotly-tester").forEach((each) => each.setAttribute("aria-hidden", "true"));
      place.dataset.drawn = "";
      if (drawn.size === 1) performance.mark("first-figure");
    });
  };

  // Paper is narrower than most windows, and a figure is as wide as it was drawn.
  const paperWidth = 640;
  const themed = (printing) =>
    drawn.forEach((place) => {
      const size = printing ? { width: Math.min(paperWidth, place.clientWidth || paperWidth) } : { width: null, autosize: true };
      Plotly.relayout(place, { template: template(printing), ...size });
    });

  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 50));
  const drawRest = () => {
    const next = places.find((place) => !drawn.has(place));
    if (next) draw(next).then(() => idle(drawRest));
  };

  document.querySelectorAll(".views").forEach((choice) => {
    const place = choice.parentElement.querySelector(".plot");
    choice.addEventListener("change", (event) => {
      const chosen = Number(event.target.value);
      draw(place).then(() => Plotly.restyle(place, { visible: place.data.map((_, index) => index === chosen) }));
    });
  });

  if (places.length === 0) return;
  draw(places[0]).then(() => {
    const watcher = new IntersectionObserver(
      (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
      { rootMargin: "400px" },
    );
    places.forEach((place) => watcher.observe(place));
    idle(drawRest);
  });
  dark.addEventListener("change", () => themed(false));
  window.addEventListener("beforeprint", () => {
    places.forEach(draw);
    themed(true);
  });
  window.addEventListener("afterprint", () => themed(false));
})();
