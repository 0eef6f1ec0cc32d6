import { Inject, Injectable } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { Config } from '../config/config';
import { LOG, type Log } from '../core/log';
import { AddressRanges } from './address-ranges';
import { plainAddress } from './client-address';

/** Where proxies stand: loopback, private (RFC 1918, RFC 4193), shared (RFC 6598) and link-local addresses. */
const PRIVATE = new AddressRanges([
  ...['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16'],
  ...['::1', 'fc00::/7', 'fe80::/10'],
]);

/** Headers in which proxies pass on the client's address. */
const FORWARDED_HEADERS = ['x-forwarded-for', 'forwarded', 'x-real-ip'];

/** Calls in a row that look the same before anybody is told so. */
const ENOUGH = 20;

/** Calls in a row without a forwarded address that is not believed, after which the last one was somebody's who wrote it himself. */
const ENOUGH_WITHOUT = 1_000;

const IGNORED =
  'Requests carry forwarded addresses from a hop that is not trusted, so everybody behind it counts as one address: if the hop is a proxy of yours that sets X-Forwarded-For itself, set TRUST_PROXY to its address or range.';
const ALL_ALIKE = `The last ${ENOUGH} sign-ins or more all came from one private address, which is probably a proxy's: set TRUST_PROXY to its address or range, and have it send X-Forwarded-For.`;

/**
 * Notices when clients hide behind a proxy that TRUST_PROXY does not name. Then one attacker uses up the limits of all, and
 * the sessions of everybody show one address. Told once in the log, and in the report of readiness as long as it looks so.
 */
@Injectable()
export class ProxyWatch {
  private ignored = false;
  /** Calls in a row with a forwarded address from one that may be a proxy and may be anybody. */
  private inARow = 0;
  private inARowWithout = 0;
  private signIns = { address: '', count: 0 };
  private readonly told = new Set<string>();

  constructor(
    private readonly config: Config,
    @Inject(LOG) private readonly log: Log,
  ) {}

  /** What the operator should know, a sentence each. */
  get warnings(): string[] {
    return [...(this.ignored ? [IGNORED] : []), ...(this.looksAlike ? [ALL_ALIKE] : [])];
  }

  /** Looks at every request from now on. */
  watch(server: FastifyInstance): void {
    server.addHook('onRequest', (request, _reply, done) => {
      const forwarded = FORWARDED_HEADERS.some((name) => request.headers[name] !== undefined);
      // Fastify lists the hops that it believes; the first is the peer itself.
      const believed = forwarded && (request.ips?.length ?? 1) > 1;
      this.noteHop(request.socket.remoteAddress ?? '', forwarded && !believed);
      done();
    });
  }

  /**
   * Notes a request, and whether it carried a forwarded address that is not believed. From a private peer one such request is
   * enough: that is where proxies stand. Anybody on the internet can write such a header as well, so from elsewhere only many
   * in a row are, as they come when everything passes through a proxy. Once a thousand in a row look otherwise, it was somebody else.
   */
  noteHop(peer: string, disbelieved: boolean): void {
    this.inARow = disbelieved ? this.inARow + 1 : 0;
    this.inARowWithout = disbelieved ? 0 : this.inARowWithout + 1;
    if (this.inARowWithout === ENOUGH_WITHOUT) this.ignored = false;
    if (this.ignored || !disbelieved) return;
    this.ignored = PRIVATE.includes(plainAddress(peer)) || this.inARow >= ENOUGH;
    if (this.ignored) this.tell(IGNORED);
  }

  /** Notes from where somebody has signed in, or tried to. */
  noteSignIn(address: string): void {
    // On a developer's machine everything comes from one address.
    if (!this.config.production) return;
    const again = address === this.signIns.address;
    this.signIns = { address, count: again ? this.signIns.count + 1 : 1 };
    if (this.looksAlike) this.tell(ALL_ALIKE);
  }

  private get looksAlike(): boolean {
    return this.signIns.count >= ENOUGH && PRIVATE.includes(this.signIns.address);
  }

  private tell(warning: string): void {
    if (this.told.has(warning)) return;
    this.told.add(warning);
    this.log.warn(warning);
  }
}
