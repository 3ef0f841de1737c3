"use strict";
document.querySelectorAll("svg.chart[data-points]").forEach((svg) => {
  const points = JSON.parse(svg.dataset.points);
  const box = svg.viewBox.baseVal, frame = svg.querySelector("rect.frame");
  const guide = document.createElementNS(svg.namespaceURI, "path");
  guide.setAttribute("class", "guide");
  svg.append(guide);
  const readout = document.createElement("div");
  readout.className = "readout";
  svg.after(readout);
  svg.addEventListener("pointermove", (event) => {
    const side = svg.getBoundingClientRect();
    const at = ((event.clientX - side.left) / side.width) * box.width;
    const near = points.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
    const top = frame.y.baseVal.value;
    guide.setAttribute("d", `M${near[0]} ${top}v${frame.height.baseVal.value}`);
    readout.textContent = near[1];
  });
  svg.addEventListener("pointerleave", () => {
    guide.removeAttribute("d");
    readout.textContent = "";
  });
});
const reveal = () => {
  const there = location.hash && document.getElementById(location.hash.slice(1));
  for (let at = there; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (there) there.scrollIntoView({ block: "start" });
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => (item.open = true)));
