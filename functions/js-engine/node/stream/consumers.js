// stream/consumers: the whole of a stream, or of any iterable of chunks.
const { Buffer } = require('buffer');

async function buffer(stream) {
  const parts = [];
  for await (const part of stream) parts.push(typeof part === 'string' ? Buffer.from(part) : part);
  return Buffer.concat(parts);
}

async function arrayBuffer(stream) {
  return Uint8Array.from(await buffer(stream)).buffer;
}

const text = async (stream) => (await buffer(stream)).toString();
const json = async (stream) => JSON.parse(await text(stream));
const blob = async (stream) => new Blob([await buffer(stream)]);
module.exports = { arrayBuffer, blob, buffer, json, text };
