import { Agent, request as httpRequest } from 'node:http';
import fc from 'fast-check';
import { startApp, type TestApp } from './support/app';
import { type DocumentedOperation, operations, violations } from './support/contract';
import { type GeneratedRequest, requestsFor } from './support/generated-requests';
import { createKey, type LoginBody, logIn, newcomer, type Person, sessionIdOf } from './support/people';
import { issued } from './support/secret-watch';
import { PROPERTY_SEED, REQUESTS } from './support/thoroughness';

/** Operations that have something to do only where there is what they are about, or who may ask. */
const FINDING = [
  ...['endSession', 'getApiKey', 'updateApiKey', 'deleteApiKey', 'rotateApiKey', 'explainApiKey'],
  'introspect',
];

interface WireAnswer {
  status: number;
  headers: Headers;
  text: string;
}

describe('requests made up from the OpenAPI document', () => {
  let app: TestApp;
  let person: Person & LoginBody;
  let apiKey: string;
  /** What there is to ask about, by the name of the path's parameter; and what an introspection asks about. */
  let existing: Record<'own' | 'foreign', { keyId: string; sessionId: string; token: string }>;
  const agent = new Agent({ keepAlive: true });
  const statuses = new Map<string, Map<number, number>>();
  /** Passwords that were made up and accepted. */
  const passwords: string[] = [];

  beforeAll(async () => {
    // What is tested is what a request means, not how often it may be sent.
    app = await startApp({ RATE_LIMITS: 'off' });
    const stranger = await newcomer(app);
    await moveIn();
    existing = { ...existing, foreign: await belongingsOf(stranger) };
  });
  afterAll(async () => {
    agent.destroy();
    await app.close();
  });

  const belongingsOf = async ({ token }: LoginBody) => {
    const { keyId } = await createKey(app, token);
    return { keyId, sessionId: sessionIdOf({ token }), token };
  };

  /** Somebody new sends the requests from now on. */
  const moveIn = async (): Promise<void> => {
    person = await newcomer(app);
    ({ apiKey } = await createKey(app, person.token, { scopes: ['introspect', 'users:read'] }));
    existing = { ...existing, own: await belongingsOf(person) };
  };

  /** About what is there, where the request is to be and is right otherwise. */
  const bodyOf = ({ id }: DocumentedOperation, { about, body, fault }: GeneratedRequest) => {
    if (id !== 'introspect' || !about || fault !== undefined) return body;
    return JSON.stringify({ ...(JSON.parse(body ?? '{}') as object), token: existing[about].token });
  };

  const send = (of: DocumentedOperation, generated: GeneratedRequest): Promise<WireAnswer> => {
    const { about, credential, contentType, problem } = generated;
    const parameters: Record<string, string> = about ? existing[about] : generated.parameters;
    const path = of.path.replace(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(parameters[name] ?? ''),
    );
    const body = bodyOf(of, generated);
    const headers: Record<string, string | number> = {
      accept: problem ? 'application/problem+json' : 'application/json',
      ...generated.headers,
      ...(contentType && { 'content-type': contentType }),
      ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
      ...((credential === 'session' || credential === 'both') && { authorization: `Bearer ${person.token}` }),
      ...(credential === 'garbage' && { authorization: 'Bearer garbage' }),
      ...((credential === 'both' || credential === 'key') && { 'x-api-key': apiKey }),
    };
    const url = `${app.url}${path}${generated.query && `?${generated.query}`}`;
    const answer = new Promise<WireAnswer>((resolve, reject) => {
      const request = httpRequest(url, { method: of.method, headers, agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: new Headers(
              Object.entries(response.headers).map(([name, value]): [string, string] => [
                name,
                String(value),
              ]),
            ),
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      });
      request.on('error', reject);
      request.end(body);
    });
    return answer.then(({ status, text, headers: got }) => {
      issued.noteCall({ status, headers: new Headers(generated.headers), request: body, answer: text });
      if (of.id === 'signUp' && status === 201) passwords.push((JSON.parse(body ?? '') as Person).password);
      return { status, text, headers: got };
    });
  };

  /** Everything that does not hold of an answer. */
  const faultsOf = (of: DocumentedOperation, sent: GeneratedRequest, answer: WireAnswer): string[] => {
    const { status, headers, text } = answer;
    const body = (text === '' ? undefined : JSON.parse(text)) as Record<string, unknown> | undefined;
    const faults = violations(of.method, `${app.url}${of.path.replace(/\{\w+\}/g, 'x')}`, {
      status,
      headers,
      body,
    });
    if (status >= 500) faults.push(`is ${status}`);
    if (sent.fault !== undefined && (status < 400 || status > 499))
      faults.push(`is ${status} though ${sent.fault}`);
    if (status < 300 && sent.about === 'foreign' && of.path.includes('{'))
      faults.push(`is ${status} though it is about what belongs to somebody else`);
    if (status >= 400) {
      const wanted = sent.problem
        ? 'application/problem+json; charset=utf-8'
        : 'application/json; charset=utf-8';
      if (headers.get('content-type') !== wanted) faults.push(`comes as ${headers.get('content-type')}`);
      const sentence = sent.problem ? body?.['detail'] : body?.['error'];
      if (typeof sentence !== 'string') faults.push('has no sentence');
      if (sent.problem && body?.['code'] !== headers.get('x-error-code')) faults.push('has two codes');
    }
    if (headers.get('cache-control') !== 'no-store') faults.push('may be stored');
    return faults;
  };

  /** A session for whoever has just ended his own, and room for another key. */
  const restore = async (of: DocumentedOperation, { status, text }: WireAnswer): Promise<void> => {
    if (status >= 300) return;
    if (of.id === 'updateProfile') person = { ...person, ...(JSON.parse(text) as Partial<Person>) };
    if (of.id === 'createApiKey') {
      const { keyId } = JSON.parse(text) as { keyId: string };
      await app.call('DELETE', `/auth/keys/${keyId}`, { token: person.token });
    }
    if (of.id === 'deleteApiKey') existing.own = await belongingsOf(person);
    if (['deleteAccount', 'changePassword'].includes(of.id)) await moveIn();
    else if (['logout', 'endSessions', 'endSession'].includes(of.id)) {
      person = { ...person, ...(await logIn(app, person)) };
      existing.own = { ...existing.own, sessionId: sessionIdOf(person), token: person.token };
    }
  };

  const share = Math.ceil(REQUESTS / operations.length);
  /** No claim: a second for each request, which is a hundred times as long as most take. */
  const timeout = 60_000 + share * 1_000;

  it.each(operations.map((of): [string, DocumentedOperation] => [of.id, of]))(
    'are never answered 5xx, and 4xx in our shape whenever they are wrong: %s',
    async (_, of) => {
      const counts = new Map<number, number>();
      statuses.set(of.id, counts);
      await fc.assert(
        fc.asyncProperty(requestsFor(of), async (generated) => {
          const answer = await send(of, generated);
          counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
          const faults = faultsOf(of, generated, answer);
          await restore(of, answer);
          if (faults.length > 0)
            throw new Error(`${faults.join('\n')}\n${answer.status} ${answer.text.slice(0, 500)}`);
        }),
        { numRuns: share, seed: PROPERTY_SEED, endOnFailure: false },
      );
    },
    timeout,
  );

  it('are watched for what they open: each password that was accepted is looked for in log and database', () => {
    const unknown = passwords.filter((password) => !issued.foundIn(`…${password}…`).includes(password));

    expect(passwords.length).toBeGreaterThan(0);
    expect(unknown).toEqual([]);
  });

  it('were as many as asked for, and both right and wrong ones', () => {
    const counts = [...statuses.values()].flatMap((of) => [...of]);
    const sum = (wanted: (status: number) => boolean) =>
      counts.reduce((total, [status, count]) => total + (wanted(status) ? count : 0), 0);

    expect(sum(() => true)).toBeGreaterThanOrEqual(REQUESTS);
    expect(sum((status) => status < 300)).toBeGreaterThan(REQUESTS / 20);
    expect(sum((status) => status === 400)).toBeGreaterThan(REQUESTS / 10);
    expect(sum((status) => status === 401)).toBeGreaterThan(0);
    expect(sum((status) => status === 413)).toBeGreaterThan(0);
    expect(sum((status) => status === 415)).toBeGreaterThan(0);
    // What is about one thing finds it, or does not.
    const found = [...statuses].filter(([id]) => FINDING.includes(id));
    expect(found).toHaveLength(FINDING.length);
    for (const [id, of] of found) {
      const answers = [...of];
      expect([id, answers.some(([status]) => status < 300)]).toEqual([id, true]);
    }
  });
});
