// Small helpers to build what is drawn as HTML and to measure texts.

export const element = (name, attributes = {}, children = []) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined && value !== null) node.setAttribute(key, value);
  node.append(...[children].flat().filter(child => child || child === 0));
  return node;
};

const context = document.createElement('canvas').getContext('2d');
export const FONT = 'Inter, "Liberation Sans", "WenQuanYi Zen Hei", sans-serif';
export const textWidth = (text, size, weight = 400) => {
  context.font = `${weight} ${size}px ${FONT}`;
  return context.measureText(text).width;
};
export const style = variable => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
