// The bar of a bar gauge, also inside of a table's cell.

import { faded } from './colours.mjs';
import { element } from './html.mjs';

const CELLS = 30;

export const gauge = (share, shade, mode = 'gradient', unfilled = true) => {
  if (mode === 'lcd') {
    return element('div', { class: 'track lcd' }, Array.from({ length: CELLS }, (_, index) =>
      element('i', { style: `background: ${index < Math.round(share * CELLS) ? shade : 'var(--empty)'}` })));
  }
  const fill = mode === 'basic'
    ? `background: ${faded(shade, 0.35)}; border-right: 2px solid ${shade}`
    : `background: linear-gradient(90deg, ${faded(shade, 0.5)}, ${shade})`;
  return element('div', { class: `track ${unfilled ? 'unfilled' : ''}` }, element('i', { style: `width: ${(share * 100).toFixed(2)}%; ${fill}` }));
};
