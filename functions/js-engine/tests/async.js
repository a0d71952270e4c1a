'use strict';
// AsyncLocalStorage: which store is seen where, across awaits that overlap.
const { AsyncLocalStorage, AsyncResource } = require('async_hooks');
const out = [];
const storage = new AsyncLocalStorage(), other = new AsyncLocalStorage();
const seen = () => storage.getStore() ?? null;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function t(label, fn) {
  out.push([label, await fn()]);
}

exports.handler = async () => {
  await t('runs that overlap', () => {
    const task = async (id) => {
      const all = [seen()];
      for (let i = 0; i < 3; i++) {
        await sleep(10 - id);
        all.push(seen());
      }
      return all;
    };
    return Promise.all([1, 2, 3].map((id) => storage.run(id, task, id)));
  });
  await t('what a run leaves running', async () => {
    const late = [];
    const note = (what) => () => late.push(`${what} ${seen()}`);
    storage.run('late', () => {
      setTimeout(note('timer'), 1);
      setImmediate(note('immediate'));
      queueMicrotask(note('microtask'));
      process.nextTick(note('tick'));
      Promise.resolve().then(note('reaction'));
    });
    note('after')();
    await sleep(5);
    return late.sort();
  });
  await t('an interval', async () => {
    const all = [];
    await storage.run('interval', () => new Promise((resolve) => {
      const timer = setInterval(() => {
        if (all.push(seen()) < 2) return;
        clearInterval(timer);
        resolve();
      }, 1);
    }));
    return all;
  });
  await t('asked for here, resolved there', async () => {
    let resolve;
    const promise = new Promise((done) => { resolve = done; }), all = [];
    storage.run('asked', () => {
      promise.then(() => all.push(seen()));
      (async () => {
        await promise;
        all.push(seen());
      })();
    });
    storage.run('resolved', () => resolve());
    await sleep(1);
    return [all, seen()];
  });
  await t('generators and thenables', () => storage.run('inner', async () => {
    const all = [];
    async function* parts() {
      yield seen();
      await 0;
      yield seen();
    }
    for await (const part of parts()) all.push(part);
    all.push(await { then(resolve) { resolve(seen()); } });
    return all;
  }));
  await t('two storages', () => storage.run(1, () => other.run(2, async () => {
    await 0;
    return [seen(), other.getStore(), storage.exit(() => [seen(), other.getStore()])];
  })));
  await t('the result is what the function gives', () => {
    const promise = Promise.resolve(1);
    return storage.run(1, () => promise) === promise;
  });
  await t('what fails', async () => {
    const thrown = (() => { try { storage.run(1, () => { throw new RangeError('no'); }); } catch (e) { return [e.name, seen()]; } })();
    const rejected = await storage.run(1, async () => { await sleep(1); throw new RangeError('no'); }).catch((e) => [e.name, seen()]);
    return [thrown, rejected];
  });
  await t('bound', () => {
    const [fn, snapshot, resource] = storage.run('bound', () => [AsyncLocalStorage.bind((a) => [a, seen()]), AsyncLocalStorage.snapshot(), new AsyncResource('X')]);
    return [fn(1), snapshot((a) => [a, seen()], 2), resource.runInAsyncScope(function (a) { return [this.b, a, seen()]; }, { b: 3 }, 4), resource.bind(() => seen())()];
  });
  await t('enterWith', async () => {
    const all = [];
    await (async () => {
      storage.enterWith('entered');
      await 0;
      all.push(seen(), storage.exit(seen));
      await sleep(1);
      all.push(seen());
    })();
    return all;
  });
  await t('disable', () => storage.run('off', () => {
    storage.disable();
    return [seen(), storage.run('on', seen)];
  }));
  return out;
};
