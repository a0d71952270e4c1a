// Deploy: signs a revision in the browser, and sends it. The private key is read here, signs here, and goes nowhere.
'use strict';

// A scope of its own: app.js has names like these.
{
// Bytes of a private key (PKCS#8) before its 32 own ones, as browsers take it; the command line's file has the public key after them.
const PKCS8 = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const ADOPTS = '.adopts'; // In a revision: it takes the place of what a node's own files have as well.
const ACK_MS = 60_000; // For all nodes to say what they made of it.

const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');

function base64(bytes) {
  let text = '';
  for (const byte of new Uint8Array(bytes)) text += String.fromCharCode(byte);
  return btoa(text);
}

/// Whether this browser signs with Ed25519 on this page: not without TLS, but on localhost.
async function signs() {
  try {
    await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
    return true;
  } catch {
    return false;
  }
}

/// The key of a file that `rimward deploy --new-key` made, and its public half as `fleet.trust` has it.
async function keyOf(file) {
  const bytes = [...new Uint8Array(await file.arrayBuffer())];
  const at = bytes.findIndex((_, from) => PKCS8.slice(7).every((byte, n) => bytes[from + n] === byte)) + PKCS8.length - 7;
  try {
    if (at < PKCS8.length - 7 || bytes.length < at + 32) throw new Error('too short');
    const whole = new Uint8Array([...PKCS8, ...bytes.slice(at, at + 32)]);
    const key = await crypto.subtle.importKey('pkcs8', whole, 'Ed25519', true, ['sign']);
    const { x } = await crypto.subtle.exportKey('jwk', key);
    const standard = x.replaceAll('-', '+').replaceAll('_', '/');
    return { key, name: `ed25519:${standard.padEnd(Math.ceil(standard.length / 4) * 4, '=')}` };
  } catch {
    throw new Error(`${file.name} is no key as rimward deploy --new-key makes it`);
  }
}

/// What is chosen, by its path below the directory. Hidden files are editors' and version control's.
function chosen() {
  const { directory, files } = $('deploy-form').elements;
  const all = new Map();
  for (const file of directory.files) all.set(file.webkitRelativePath.split('/').slice(1).join('/'), file);
  for (const file of files.files) all.set(file.name, file);
  for (const path of [...all.keys()]) if (path.split('/').some((part) => part.startsWith('.'))) all.delete(path);
  if (![...all.keys()].some((path) => path.endsWith('.toml') && !path.includes('/'))) {
    throw new Error('there is no .toml file among them, or none at the top of the directory');
  }
  return all;
}

/// Its items in the order of their paths, and how many of the files this node did not have.
async function send(all) {
  const items = [];
  let sent = 0;
  for (const path of [...all.keys()].sort((a, b) => (a < b ? -1 : 1))) {
    const bytes = await all.get(path).arrayBuffer();
    const digest = hex(await crypto.subtle.digest('SHA-256', bytes));
    // A browser does not say who may read a file: so nobody else may.
    items.push({ path, digest, size: bytes.byteLength, secret: true });
    const there = await ask(`/blobs/${digest}`, { method: 'HEAD' }).then(() => true, (error) => {
      if (error.status === 404) return false;
      throw error;
    });
    if (there) continue;
    await ask(`/blobs/${digest}`, { method: 'PUT', body: bytes });
    sent += 1;
  }
  return { items, sent };
}

async function deploy(say) {
  const { key: file, author, note, adopt } = $('deploy-form').elements;
  const all = chosen();
  const { key, name } = await keyOf(file.files[0]);
  if (adopt.checked) all.set(ADOPTS, new Blob(['This revision takes the place of what a node’s own files have as well.\n']));
  say(`Sends ${all.size} files …`);
  const { items, sent } = await send(all);
  const { newest } = await read('/revisions');
  const now = Date.now();
  const manifest = {
    format: 1, serial: Math.max(now, newest + 1), act: 'deploy', author: author.value.trim() || 'console', note: note.value.trim(),
    created_ms: now, files: items, digest: 'from the console',
  };
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  const signature = await crypto.subtle.sign('Ed25519', key, bytes);
  const envelope = { manifest: base64(bytes), key: name, signature: base64(signature) };
  const answer = await ask('/revisions', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(envelope) });
  const { serial } = await answer.json();
  say(`Revision ${serial} is accepted: ${items.length} files, ${sent} of them sent. The nodes are at it …`);
  return serial;
}

/// Until each node has said what it made of it.
async function follow(serial, say) {
  const until = Date.now() + ACK_MS;
  while (running) {
    await drawRevisions();
    const { nodes } = await read('/revisions');
    const acks = Object.entries(nodes);
    const missing = acks.filter(([, ack]) => !ack || ack.serial < serial).map(([node]) => node);
    if (missing.length && Date.now() < until) {
      await new Promise((done) => setTimeout(done, POLL_MS / 4));
      continue;
    }
    const bad = acks.filter(([, ack]) => ack?.serial === serial && ['refused', 'rolled_back'].includes(ack.state));
    if (missing.length) return say(`Revision ${serial}: no word yet from ${missing.join(', ')}.`);
    if (bad.length) return say(`Revision ${serial} is refused at ${bad.map(([node, ack]) => `${node}: ${ack.why}`).join('; ')}`);
    return say(`Revision ${serial} is in force at ${acks.map(([node]) => node).join(', ')}.`);
  }
}

$('deploy-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = $('deploy-form').querySelector('button');
  const say = (text) => { $('deploy-said').textContent = text; };
  button.disabled = true;
  let accepted = false;
  say('Reads the files …');
  try {
    const serial = await deploy(say);
    accepted = true;
    await follow(serial, say);
  } catch (error) {
    say(accepted ? `Accepted; what became of it is not known: ${error.message}` : `Not deployed: ${error.message}`);
  }
  button.disabled = false;
});

signs().then((able) => {
  $('deploy-form').hidden = !able;
  $('deploy-cannot').hidden = able;
});
}
