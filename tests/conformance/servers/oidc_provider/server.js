// oidc-provider as a server of its own: `node server.js FOLDER` prints where it listens.
//
// Every refresh rotates; a consumed refresh token that comes again revokes the whole grant (that is the library's
// own doing). Every request to the token endpoint is a line of FOLDER/tokens.jsonl, every delivery one of
// FOLDER/delivered.jsonl.

import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider, errors } from 'oidc-provider';

const folder = process.argv[2];
const given = JSON.parse(readFileSync(`${folder}/given.json`, 'utf8'));
const SCOPES = ['openid', 'offline_access', 'read', 'write'];
const note = (name, line) => appendFileSync(`${folder}/${name}`, `${JSON.stringify(line)}\n`);

const clients = Object.values(given.clients).map((client) => ({
  client_id: client.id,
  client_secret: client.secret || undefined,
  token_endpoint_auth_method: client.secret ? `client_secret_${client.send === 'body' ? 'post' : 'basic'}` : 'none',
  grant_types: client.machine ? ['client_credentials'] : ['authorization_code', 'refresh_token', 'password'],
  redirect_uris: client.machine ? [] : ['http://127.0.0.1/callback'],
  application_type: 'native',
  response_types: client.machine ? [] : ['code'],
  scope: client.machine ? 'read write' : SCOPES.join(' '),
}));

function configured() {
  return {
    clients,
    scopes: SCOPES,
    cookies: { keys: ['only for tests'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    ttl: { AccessToken: 3600, ClientCredentials: 3600, Grant: 86400, Interaction: 600, RefreshToken: 86400, Session: 600 },
  };
}

// RFC 6749, section 4.3: the library leaves this grant to who wants it; made of its public models only.
function passwordGrant(provider) {
  return async (ctx) => {
    const { client, params } = ctx.oidc;
    const scope = params.scope || 'read write';
    if (scope.split(' ').some((one) => !SCOPES.includes(one))) throw new errors.InvalidScope('requested scope is unknown', scope);
    if (params.username !== given.person.username || params.password !== given.person.password) {
      throw new errors.InvalidGrant('invalid credentials');
    }
    const accountId = params.username;
    const grant = new provider.Grant({ accountId, clientId: client.clientId });
    grant.addOIDCScope(scope);
    const grantId = await grant.save();
    const access = new provider.AccessToken({ accountId, client, grantId, gty: 'password', scope });
    const refresh = new provider.RefreshToken({ accountId, client, grantId, gty: 'password', scope, rotations: 0 });
    ctx.body = {
      access_token: await access.save(),
      expires_in: access.expiration,
      refresh_token: await refresh.save(),
      scope,
      token_type: access.tokenType,
    };
  };
}

// An access token that is over before its time, alone; RFC 7009 here takes its refresh token along.
async function end(provider, request, response) {
  const token = await provider.AccessToken.find(await read(request));
  await token.destroy();
  response.writeHead(204).end();
}

async function read(request) {
  let body = '';
  for await (const piece of request) body += piece;
  return body;
}

// A target that takes what the library itself takes for a token of its own.
async function deliveries(provider, request, response) {
  const value = (request.headers.authorization || '').replace(/^Bearer /, '');
  const token = (await provider.AccessToken.find(value)) || (await provider.ClientCredentials.find(value));
  if (!token || !token.isValid || !token.scopes.has('write')) {
    response.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end();
    return;
  }
  note('delivered.jsonl', await read(request));
  response.writeHead(204).end();
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, configured());
  provider.registerGrantType('password', passwordGrant(provider), ['username', 'password', 'scope']);
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route !== 'token') return;
    note('tokens.jsonl', {
      grant: ctx.oidc.params?.grant_type,
      status: ctx.status,
      error: ctx.body?.error || '',
      client: ctx.headers.authorization ? 'basic' : 'body',
    });
  });
  const handle = provider.callback();
  const own = { '/deliveries': deliveries, '/end': end };
  server.on('request', (request, response) =>
    own[request.url] ? own[request.url](provider, request, response) : handle(request, response),
  );
  console.log(JSON.stringify({ url }));
});
