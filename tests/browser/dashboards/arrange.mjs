// Where panels stand: as their file says, without gaps above them, and without what a collapsed row hides.

const overlaps = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w;

export const arrange = panels => {
  const placed = [];
  for (const panel of panels.toSorted((a, b) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x)) {
    const box = { ...panel.gridPos };
    box.y = Math.max(0, ...placed.filter(other => overlaps(other.box, box)).map(({ box: { y, h } }) => y + h));
    placed.push({ panel, box });
  }
  return placed;
};
