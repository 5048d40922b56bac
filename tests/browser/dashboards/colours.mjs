// Grafana's named colours, its palette for series and its schemes, in both themes.

const HUES = {
  red: ['#FFA6B0', '#FF7383', '#F2495C', '#E02F44', '#C4162A', '#AD0317'],
  orange: ['#FFCB7D', '#FFB357', '#FF9830', '#FF780A', '#FA6400', '#E55400'],
  yellow: ['#FFF899', '#FFEE52', '#FADE2A', '#F2CC0C', '#E0B400', '#CC9D00'],
  green: ['#C8F2C2', '#96D98D', '#73BF69', '#56A64B', '#37872D', '#19730E'],
  blue: ['#C0D8FF', '#8AB8FF', '#5794F2', '#3274D9', '#1F60C4', '#1250B0'],
  purple: ['#DEB6F2', '#CA95E5', '#B877D9', '#A352CC', '#8F3BB8', '#7C2EA3'],
};
const SHADES = ['super-light-', 'light-', '', 'semi-dark-', 'dark-'];
const PALETTE = [
  'green', 'semi-dark-yellow', 'light-blue', 'semi-dark-orange', 'red', 'blue', 'purple', '#705DA0', 'dark-green', 'yellow', '#447EBC', '#C15C17',
  '#890F02', '#0A437C', '#6D1F62', '#584477', '#B7DBAB', '#F4D598', '#70DBED', '#F9BA8F', '#F29191', '#82B5D8', '#E5A8E2', '#AEA2E0',
];
export const SCHEMES = {
  'continuous-GrYlRd': ['green', 'yellow', 'red'],
  'continuous-RdYlGr': ['red', 'yellow', 'green'],
  'continuous-BlYlRd': ['dark-blue', 'super-light-yellow', 'dark-red'],
  'continuous-YlRd': ['super-light-yellow', 'dark-red'],
  'continuous-BlPu': ['blue', 'purple'],
  'continuous-YlBl': ['super-light-yellow', 'dark-blue'],
  'continuous-blues': ['panel-bg', 'dark-blue'],
  'continuous-reds': ['panel-bg', 'dark-red'],
  'continuous-greens': ['panel-bg', 'dark-green'],
  'continuous-purples': ['panel-bg', 'dark-purple'],
};

// The light theme's colours are a shade darker.
const named = theme => Object.fromEntries(Object.entries(HUES).flatMap(([hue, colours]) =>
  SHADES.map((shade, index) => [shade + hue, colours[index + (theme === 'light' ? 1 : 0)]])));
const NAMED = {
  dark: { ...named('dark'), text: '#CCCCDC', transparent: 'rgba(0, 0, 0, 0)', 'panel-bg': '#181B1F' },
  light: { ...named('light'), text: '#24292E', transparent: 'rgba(0, 0, 0, 0)', 'panel-bg': '#FFFFFF' },
};

export const knowsColour = name => name in NAMED.dark || /^(#|rgb|hsl)/.test(name);
export const colour = (name, theme) => NAMED[theme][name] ?? name;
export const seriesColour = (index, theme) => colour(PALETTE[index % PALETTE.length], theme);

export const channels = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
export const faded = (of, alpha) => {
  if (!of.startsWith('#')) return of;
  const long = of.length === 4 ? of.replace(/\w/g, '$&$&') : of;
  return `rgba(${channels(long).join(', ')}, ${alpha})`;
};

export const schemeColour = (scheme, share, theme) => {
  const stops = SCHEMES[scheme].map(name => channels(colour(name, theme)));
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  const mixed = stops[below].map((one, index) => Math.round(one + (stops[below + 1][index] - one) * (place - below)));
  return `#${mixed.map(channel => channel.toString(16).padStart(2, '0')).join('')}`;
};

// What can be read on a background.
export const inkOn = background => {
  if (!background.startsWith('#')) return 'inherit';
  const [red, green, blue] = channels(background);
  return (red * 299 + green * 587 + blue * 114) / 1000 > 180 ? '#202226' : '#F7F8FA';
};
