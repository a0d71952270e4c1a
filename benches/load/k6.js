// k6: the scenarios of wrk.lua at a fixed rate of arrivals, over all PoPs at once: what a viewer waits when the load does not wait for him.
// POPS and SCENARIOS (between commas), KEY, RATE (arrivals a second and scenario), SECONDS.
import http from 'k6/http';
import { check } from 'k6';

const pops = __ENV.POPS.split(',');
const seconds = Number(__ENV.SECONDS);
const names = __ENV.SCENARIOS.split(',');
const run = Date.now();

export const options = {
  summaryTrendStats: ['med', 'p(90)', 'p(99)'],
  scenarios: Object.fromEntries(names.map((name, at) => [name, {
    executor: 'constant-arrival-rate',
    exec: name,
    rate: Number(__ENV.RATE),
    timeUnit: '1s',
    duration: `${seconds}s`,
    startTime: `${at * (seconds + 1)}s`,
    preAllocatedVUs: 50,
    maxVUs: 200,
  }])),
  // A threshold each, so that the summary tells them apart.
  thresholds: Object.fromEntries(names.map((name) => [`http_req_duration{scenario:${name}}`, ['p(99)<60000']])),
};

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const popular = () => Math.ceil(1000 ** Math.random());

function ask(path, fields = {}) {
  const answer = http.get(`${pick(pops)}${path}`, { headers: { Host: 'shop.example', ...fields }, tags: { name: path.split('/')[1] } });
  check(answer, { answered: (one) => one.status === 200 });
}

export const hits = () => ask(`/hits/${popular()}`);
export const misses = () => ask(`/misses/k6-${run}?n=${__VU}-${__ITER}`);
export const hooks = () => ask(`/hooks/${popular()}`);
export const auth = () => ask(`/auth/${popular()}`, { 'x-api-key': __ENV.KEY });
export const mixed = () => {
  const turn = Math.random() * 100;
  if (turn < 80) hits();
  else if (turn < 85) misses();
  else if (turn < 95) hooks();
  else auth();
};
