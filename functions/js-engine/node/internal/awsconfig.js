// The configuration of one of AWS's clients: what the options say, else the environment. Nothing is asked for before the first request.
const { env } = require('process');
const { URL } = require('url');

const ATTEMPTS = 3;
const EXPIRY = 300000; // milliseconds before their end at which credentials are asked for anew

const provider = (value) => (typeof value === 'function' ? async () => value() : async () => value);

function parseEndpoint(value) {
  if (typeof value !== 'string' && !(value instanceof URL)) return value.url ? parseEndpoint(value.url) : value;
  const url = new URL(value);
  return { protocol: url.protocol, hostname: url.hostname, port: url.port ? Number(url.port) : undefined, path: url.pathname };
}

function environmentCredentials() {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = env;
  if (!accessKeyId || !secretAccessKey) throw Object.assign(new Error('Could not load credentials from any providers'), { name: 'CredentialsProviderError' });
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}

// Asks again only when what it has is about to expire.
function remembered(ask) {
  let held = null;
  return async () => {
    const own = await held;
    if (!own || (own.expiration && own.expiration.getTime() - Date.now() < EXPIRY)) held = ask();
    try {
      return await held;
    } catch (e) {
      held = null;
      throw e;
    }
  };
}

function configure(options, service) {
  const config = { logger: undefined, translateConfig: undefined, systemClockOffset: 0, ...options };
  config.region = provider(options.region ?? (() => {
    const region = env.AWS_REGION ?? env.AWS_DEFAULT_REGION;
    if (!region) throw new Error('Region is missing');
    return region;
  }));
  config.credentials = typeof options.credentials === 'object' && options.credentials ? provider(options.credentials) : remembered(provider(options.credentials ?? environmentCredentials));
  config.maxAttempts = provider(options.maxAttempts ?? (() => Number(env.AWS_MAX_ATTEMPTS) || ATTEMPTS));
  const custom = options.endpoint === undefined ? undefined : provider(options.endpoint);
  config.endpoint = custom && (async () => parseEndpoint(await custom()));
  config.resolveEndpoint = async () => {
    if (custom) return config.endpoint();
    const ignored = env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS === 'true';
    const set = ignored ? undefined : env[`AWS_ENDPOINT_URL_${service.id.toUpperCase()}`] || env.AWS_ENDPOINT_URL;
    const flag = async (name) => (await provider(options[`use${name}Endpoint`])()) ?? env[`AWS_USE_${name.toUpperCase()}_ENDPOINT`] === 'true';
    return parseEndpoint(set || service.endpoint(await config.region(), { fips: await flag('Fips'), dualstack: await flag('Dualstack') }));
  };
  return config;
}

module.exports = { configure };
