import * as fc from 'fast-check';
import { type Answer, startApp, type TestApp } from './support/app';
import { type LoginBody, logIn, type Person, signUp, statusWith, type TokensBody } from './support/people';
import { type Attempt, type Fate, HonestClient, Network, Promised } from './support/retry-rule';
import { explore, PROOF_TIMEOUT_MS, rounds } from './support/rounds';

const GRACE_SECONDS = 10;
const GRACE_MS = GRACE_SECONDS * 1000;

/** Something that happens. */
type Event =
  | { does: 'wait'; seconds: number }
  | { does: 'refresh'; fate: Fate }
  /** Two tabs refresh at the same time. */
  | { does: 'refresh in two tabs'; fates: [Fate, Fate] }
  /** A request that was given up arrives after all. */
  | { does: 'deliver late'; choice: number };

/** A thief presents one of the tokens that were ever handed out: with no key, or with one that he made up. */
type Theft = { does: 'steal'; age: number; key: string | undefined };

interface Schedule<E> {
  usesKeys: boolean;
  events: E[];
}

const fate = fc.constantFrom<Fate>('answered', 'answered', 'request lost', 'answer lost');
const events = {
  // Within the grace, at its very end, beyond it, and so long that access tokens expire.
  wait: fc
    .constantFrom(0.001, 4, GRACE_SECONDS, 60, 7200)
    .map((seconds): Event => ({ does: 'wait', seconds })),
  refresh: fate.map((each): Event => ({ does: 'refresh', fate: each })),
  tabs: fc.tuple(fate, fate).map((fates): Event => ({ does: 'refresh in two tabs', fates })),
  late: fc.nat(9).map((choice): Event => ({ does: 'deliver late', choice })),
};
const theft = fc
  .tuple(fc.nat(3), fc.constantFrom(undefined, 'a-key-that-a-thief-made-up'))
  .map(([age, key]): Theft => ({ does: 'steal', age, key }));
const schedules = <E>(...kinds: fc.Arbitrary<E>[]) =>
  fc.record<Schedule<E>>({
    usesKeys: fc.boolean(),
    events: fc.array(fc.oneof(...kinds), { minLength: 1, maxLength: 14 }),
  });

/** One session with its client, its network and everything that was handed out, while a schedule happens to it. */
class Story {
  readonly handedOut: TokensBody[];
  private readonly client: HonestClient;
  private readonly network = new Network(GRACE_MS);
  private readonly promised = new Promised(GRACE_MS);
  private readonly generations: string[];

  constructor(
    private readonly app: TestApp,
    private readonly usesKeys: boolean,
    login: LoginBody,
  ) {
    this.handedOut = [login];
    this.generations = [login.refreshToken];
    this.client = new HonestClient(login.refreshToken, usesKeys);
  }

  get isEnded(): boolean {
    return this.promised.ended;
  }

  async tell(event: Event | Theft): Promise<void> {
    switch (event.does) {
      case 'wait':
        return this.wait(event.seconds * 1000);
      case 'refresh':
        return this.refresh(event.fate);
      case 'refresh in two tabs':
        await Promise.all(event.fates.map((each) => this.refresh(each)));
        return;
      case 'deliver late': {
        const attempt = this.network.pick(event.choice, this.now);
        if (attempt) await this.deliver(attempt);
        return;
      }
      case 'steal': {
        const index = Math.max(0, this.generations.length - 1 - event.age);
        await this.deliver({ token: this.generations[index] as string, key: event.key });
      }
    }
  }

  /** The client's next attempt. */
  async refresh(fate: Fate): Promise<void> {
    const attempt = this.client.attempt(this.now);
    this.network.forgetAllBut(attempt.token);
    if (fate === 'request lost') return this.network.keep(attempt);
    const successor = await this.deliver(attempt);
    if (fate === 'answer lost') this.network.keep(attempt);
    else if (successor !== undefined) this.client.take(attempt, successor);
  }

  /** Whether any refresh token or access token that was ever handed out still opens anything. */
  async openings(): Promise<string[]> {
    const open: string[] = [];
    for (const { token } of this.handedOut) {
      if ((await statusWith(this.app, { token })) !== 401) open.push(token);
    }
    for (const refreshToken of this.generations) {
      if ((await this.post(refreshToken)).status !== 401) open.push(refreshToken);
    }
    return open;
  }

  private get now(): number {
    return this.app.clock.now().getTime();
  }

  /** Time passes; but a client without a key does not give up, and nobody has its patience tried beyond the grace. */
  private wait(milliseconds: number): void {
    const patience = (this.client.waitingSince ?? Infinity) + GRACE_MS - this.now;
    this.app.clock.advance((this.usesKeys ? milliseconds : Math.min(milliseconds, patience)) / 1000);
  }

  /** Sends a request and holds the answer against the promise. */
  private async deliver({ token, key }: Pick<Attempt, 'token' | 'key'>): Promise<string | undefined> {
    const generation = this.generations.indexOf(token);
    const expected = this.promised.answer({ generation, key, now: this.now });
    const { status, body } = await this.post(token, key);
    if (expected === undefined) {
      expect(status).toBe(401);
      return undefined;
    }
    expect(status).toBe(200);
    this.generations[expected] ??= body.refreshToken;
    expect(body.refreshToken).toBe(this.generations[expected]);
    this.handedOut.push(body);
    return body.refreshToken;
  }

  private post(refreshToken: string, key?: string): Promise<Answer<TokensBody>> {
    const headers: Record<string, string> = key === undefined ? {} : { 'Idempotency-Key': key };
    return this.app.call('POST', '/auth/refresh', { body: { refreshToken }, headers });
  }
}

describe('a session whose client follows the retry rule', () => {
  let app: TestApp;
  let person: Person;
  let stories = 0;
  beforeAll(async () => (app = await startApp({ REFRESH_GRACE: String(GRACE_SECONDS), RATE_LIMITS: 'off' })));
  afterAll(() => app.close());

  /** A new session; now and then of somebody new, so that no account comes to its limit of sessions. */
  const begin = async ({ usesKeys }: Schedule<unknown>): Promise<{ story: Story; sessionId: string }> => {
    if (stories++ % 90 === 0) person = await signUp(app);
    const login = await logIn(app, person);
    const sql = 'SELECT id FROM sessions WHERE user_id = ? ORDER BY id DESC LIMIT 1';
    const [session] = await app.rows<{ id: string }>(sql, [person.id]);
    return { story: new Story(app, usesKeys, login), sessionId: session?.id ?? '' };
  };

  const reasonOf = async (sessionId: string): Promise<string | null> => {
    const sql = 'SELECT revocation_reason AS reason FROM sessions WHERE id = ?';
    const [session] = await app.rows<{ reason: string | null }>(sql, [sessionId]);
    return session?.reason ?? null;
  };

  it(
    'is never ended, whatever the network does within what the rule allows it',
    () =>
      explore(
        schedules(events.wait, events.refresh, events.tabs, events.late),
        rounds(50, 10_000),
        async (schedule) => {
          const { story, sessionId } = await begin(schedule);

          for (const event of schedule.events) await story.tell(event);
          await story.refresh('answered');

          expect(story.isEnded).toBe(false);
          expect(await reasonOf(sessionId)).toBeNull();
          const [newest] = story.handedOut.slice(-1) as [TokensBody];
          expect(await statusWith(app, newest)).toBe(200);
        },
      ),
    PROOF_TIMEOUT_MS,
  );

  it(
    'is ended by every replay outside of the rule, and by nothing else, when a thief comes in between',
    () =>
      explore(
        schedules<Event | Theft>(events.wait, events.refresh, events.tabs, events.late, theft),
        rounds(50, 10_000),
        async (schedule) => {
          const { story, sessionId } = await begin(schedule);

          for (const event of schedule.events) await story.tell(event);

          if (story.isEnded) {
            expect(await story.openings()).toEqual([]);
            expect(await reasonOf(sessionId)).toBe('refresh_token_reused');
            const sql = 'SELECT type FROM audit_events WHERE credential_id = ? ORDER BY id';
            const told = await app.rows(sql, [sessionId]);
            expect(told).toEqual([{ type: 'signed_in' }, { type: 'refresh_token_reused' }]);
          } else {
            expect(await reasonOf(sessionId)).toBeNull();
            await story.tell({ does: 'steal', age: 0, key: undefined });
            expect(story.isEnded).toBe(false);
          }
        },
      ),
    PROOF_TIMEOUT_MS,
  );
});
