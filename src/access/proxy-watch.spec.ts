import { loadConfig } from '../config/load-config';
import { createLog } from '../core/log';
import { ProxyWatch } from './proxy-watch';

describe('the watch for proxies', () => {
  const watch = () => new ProxyWatch(loadConfig({}), createLog('silent'));

  it.each([
    ...['127.0.0.1', '::1', '::ffff:10.0.0.7', '172.31.255.1', '192.168.1.1', '100.64.0.1'],
    ...['169.254.1.1', 'fd00::5', 'fe80::1%eth0'],
  ])('takes one forwarded address from %s for a proxy that is not trusted', (peer) => {
    const watching = watch();

    watching.noteHop(peer, true);

    expect(watching.warnings).toHaveLength(1);
  });

  it.each(['203.0.113.9', '2001:db8::1', '172.32.0.1', '11.0.0.1', ''])(
    'takes nineteen in a row from %j for somebody who writes headers, and twenty for a proxy',
    (peer) => {
      const watching = watch();
      for (let count = 0; count < 19; count += 1) watching.noteHop(peer, true);
      watching.noteHop(peer, false);
      for (let count = 0; count < 19; count += 1) watching.noteHop(peer, true);
      expect(watching.warnings).toEqual([]);

      watching.noteHop(peer, true);

      expect(watching.warnings).toHaveLength(1);
    },
  );

  it('no longer does once a thousand in a row have carried none, and does again', () => {
    const watching = watch();
    const warnedAfter = (calls: boolean[]) => {
      for (const disbelieved of calls) watching.noteHop('10.0.0.7', disbelieved);
      return watching.warnings.length;
    };

    expect(warnedAfter([true, ...Array<boolean>(999).fill(false)])).toBe(1);
    expect(warnedAfter([true, ...Array<boolean>(999).fill(false)])).toBe(1);
    expect(warnedAfter([false])).toBe(0);
    expect(warnedAfter([true])).toBe(1);
  });
});
