import { createHmac, timingSafeEqual } from 'crypto';

const sign = (value, key) => createHmac('sha256', key).update(value).digest('base64url');

export default async function handler(event) {
  const { request } = event.Records[0].cf;
  const cookies = Object.fromEntries(
    (request.headers.cookie ?? []).flatMap(({ value }) => value.split(/;\s*/)).map((pair) => pair.split('=')),
  );
  const [user, mac = ''] = (cookies.session ?? '').split('.');
  const want = Buffer.from(sign(user, process.env.SESSION_KEY));
  const got = Buffer.from(mac);
  if (got.length !== want.length || !timingSafeEqual(got, want)) return { status: 403 };
  request.headers['x-user'] = [{ value: user }];
  return request;
}
