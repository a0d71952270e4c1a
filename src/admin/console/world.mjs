// Makes land.inc, the coastlines of the console's map, from Natural Earth's land at 1:110 million (public domain), as the npm
// package world-atlas (ISC) carries it:
//
//   npm install world-atlas@2.0.2 && node world.mjs node_modules/world-atlas/land-110m.json > land.inc
//
// Equirectangular: one unit is 0.2 degrees, so x = (longitude + 180) * 5 and y = (84 - latitude) * 5. Antarctica is left out.
import { readFileSync } from 'node:fs';

const topology = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { scale, translate } = topology.transform;

const arcs = topology.arcs.map((arc) => {
  let x = 0;
  let y = 0;
  return arc.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
  });
});

// An arc's number is inverted where the ring runs through it backwards.
const ring = (numbers) =>
  numbers.flatMap((number, at) => {
    const points = number < 0 ? [...arcs[~number]].reverse() : arcs[number];
    return at === 0 ? points : points.slice(1);
  });

const rings = topology.objects.land.geometries
  .flatMap((shape) => (shape.type === 'Polygon' ? [shape.arcs] : shape.arcs))
  .flatMap((polygon) => polygon.map(ring))
  .filter((points) => Math.max(...points.map(([, latitude]) => latitude)) > -60);

// A ring that crosses the 180th meridian goes on past it; what lies beside the map is drawn again on its other side.
const unroll = (points) => {
  let turns = 0;
  return points.map(([longitude, latitude], at) => {
    const step = at === 0 ? 0 : longitude - points[at - 1][0];
    if (Math.abs(step) > 180) turns -= Math.sign(step);
    return [longitude + 360 * turns, latitude];
  });
};
const copies = (points) => {
  const all = points.map(([longitude]) => longitude);
  const beside = [[Math.max(...all) > 180, -360], [Math.min(...all) < -180, 360]].filter(([is]) => is);
  return [points, ...beside.map(([, by]) => points.map(([longitude, latitude]) => [longitude + by, latitude]))];
};

const draw = (points) => {
  let path = '';
  let [px, py] = [0, 0];
  for (const [longitude, latitude] of points) {
    const x = Math.round((longitude + 180) * 5);
    const y = Math.round((84 - latitude) * 5);
    if (path === '') path = `M${x} ${y}`;
    else if (x !== px || y !== py) path += `l${x - px}${y - py < 0 ? '' : ' '}${y - py}`;
    [px, py] = [x, y];
  }
  return path + 'z';
};

process.stdout.write(`<path class="land" d="${rings.map(unroll).flatMap(copies).map(draw).join('')}"/>\n`);
