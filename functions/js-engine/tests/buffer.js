'use strict';
const out = [];
async function t(label, fn) {
  let got;
  try {
    got = await fn();
    if (got instanceof Uint8Array) got = `${got.constructor.name}:${Buffer.from(got).toString('hex')}`;
    if (typeof got === 'bigint') got = `${got}n`;
    if (got === undefined) got = 'undefined';
  } catch (e) {
    got = `${e.name} ${e.code ?? ''}`;
  }
  out.push([label, got]);
}

exports.handler = async () => {
  const text = 'héllo wörld €𝄞';
  for (const e of ['utf8', 'hex', 'base64', 'base64url', 'latin1', 'ascii', 'utf16le', 'binary', 'ucs2']) {
    await t(`from ${e}`, () => Buffer.from('48656c6c6f', e));
    await t(`toString ${e}`, () => Buffer.from(text).toString(e));
    await t(`round ${e}`, () => Buffer.from(Buffer.from(text).toString(e), e));
    await t(`length ${e}`, () => Buffer.byteLength(text, e));
  }
  await t('bad encoding', () => Buffer.from('x', 'nope'));
  await t('hex stops', () => Buffer.from('4865zz6c', 'hex'));
  await t('hex odd', () => Buffer.from('486', 'hex'));
  await t('base64 loose', () => Buffer.from('aGk_ \n-x=', 'base64'));
  await t('base64 no pad', () => Buffer.from('aGk', 'base64').toString());
  await t('lone surrogate', () => Buffer.from('a\ud800b'));
  await t('invalid utf8', () => Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xe2, 0x82, 0xf0, 0x9f, 0x98]).toString());
  await t('alloc', () => Buffer.alloc(5, 'ab'));
  await t('alloc bad', () => Buffer.alloc(-1));
  await t('alloc string', () => Buffer.alloc('5'));
  await t('from number', () => Buffer.from(5));
  await t('from null', () => Buffer.from(null));
  await t('from array', () => Buffer.from([1, 256, -1, 3.7]));
  await t('from arraybuffer', () => Buffer.from(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2));
  await t('from json', () => Buffer.from({ type: 'Buffer', data: [1, 2] }));
  await t('from String', () => Buffer.from(new String('abc')));
  await t('concat', () => Buffer.concat([Buffer.from('a'), Buffer.from('bc')], 2));
  await t('concat pad', () => Buffer.concat([Buffer.from('a')], 3));
  await t('compare', () => [Buffer.compare(Buffer.from('a'), Buffer.from('b')), Buffer.from('ab').compare(Buffer.from('a'))]);
  await t('equals', () => [Buffer.from('a').equals(Buffer.from('a')), Buffer.from('a').equals(Buffer.from('b'))]);
  await t('equals bad', () => Buffer.from('a').equals('a'));
  await t('slice', () => { const b = Buffer.from('hello'); const s = b.slice(-3, -1); s[0] = 65; return b.toString(); });
  await t('subarray is Buffer', () => Buffer.isBuffer(Buffer.from('abc').subarray(1)));
  await t('map is Buffer', () => Buffer.from('abc').map((x) => x + 1));
  await t('indexOf', () => { const b = Buffer.from('hello hello'); return [b.indexOf('lo'), b.indexOf('lo', 5), b.indexOf('lo', -4), b.indexOf(104), b.indexOf('zz'), b.lastIndexOf('hello'), b.lastIndexOf('hello', 5), b.includes('lo h'), b.indexOf(''), b.indexOf(Buffer.from('o'))]; });
  await t('fill', () => [Buffer.alloc(4).fill('abc').toString(), Buffer.alloc(4).fill(65, 1, 3).toString('hex'), Buffer.alloc(3).fill('YQ==', 'base64').toString()]);
  await t('write', () => { const b = Buffer.alloc(6); return [b.write('héé', 1), b.write('zzzz', 4), b.toString('latin1'), b.write('ff', 0, 'hex'), b.toString('hex')]; });
  await t('copy', () => { const b = Buffer.alloc(5); return [Buffer.from('hello').copy(b, 2, 1), b.toString('latin1')]; });
  await t('json', () => JSON.stringify(Buffer.from('ab')));
  for (const [name, value] of [['UInt8', 200], ['Int8', -5], ['UInt16LE', 65000], ['UInt16BE', 65000], ['Int16BE', -300], ['UInt32LE', 4e9], ['UInt32BE', 4e9], ['Int32LE', -7e8], ['FloatBE', 1.5], ['DoubleLE', Math.PI], ['Uint16BE', 7], ['Uint32LE', 9]]) {
    await t(name, () => { const b = Buffer.alloc(9); const end = b[`write${name}`](value, 1); return [end, b.toString('hex'), b[`read${name}`](1)]; });
  }
  await t('BigInt', () => { const b = Buffer.alloc(8); b.writeBigInt64BE(-5n); return `${b.readBigInt64BE()} ${b.readBigUInt64LE()}`; });
  await t('UIntBE', () => { const b = Buffer.alloc(8); b.writeUIntBE(0x123456789abc, 0, 6); b.writeIntLE(-77, 6, 2); return [b.toString('hex'), b.readUIntBE(0, 6), b.readIntLE(6, 2), b.readUIntLE(1, 3), b.readIntBE(0, 3)]; });
  await t('out of range', () => Buffer.alloc(2).readUInt32LE(0));
  await t('offset', () => Buffer.alloc(4).readUInt16LE(3));
  await t('value', () => Buffer.alloc(1).writeUInt8(256));
  await t('swap', () => [Buffer.from('01020304', 'hex').swap16().toString('hex'), Buffer.from('01020304', 'hex').swap32().toString('hex')]);
  await t('iterate', () => [...Buffer.from('ab').entries()]);
  await t('is', () => [Buffer.isBuffer(new Uint8Array(1)), Buffer.isEncoding('UTF-8'), Buffer.isEncoding('x'), Buffer.from('a') instanceof Uint8Array]);
  await t('toString range', () => Buffer.from('hello').toString('utf8', 1, 3));
  await t('atob', () => [atob('aGk='), btoa('hi')]);
  await t('inspect', () => require('util').inspect([Buffer.from('hi'), Buffer.alloc(60)]));
  return out;
};
