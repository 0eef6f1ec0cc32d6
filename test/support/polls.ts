import { RevocationFeed } from '../../src/revocation/revocation-feed';
import type { TestApp } from './app';

/**
 * Has the poll of revocations come round no more, so that what an instance has not read yet stays unread, and old, for as long as a
 * test needs that. Waits for a round that is under way.
 *
 * @returns what lets it come round again
 */
export async function holdPolls(app: TestApp): Promise<() => void> {
  const feed = app.nest.get<{ poll: () => Promise<void>; polling: { current?: Promise<void> } }>(
    RevocationFeed,
  );
  const { poll } = feed;
  feed.poll = () => Promise.resolve();
  await feed.polling.current;
  return () => void (feed.poll = poll);
}

/** Does `work` with revocations read just now, and fresh until it is done, however long that takes. */
export async function withFreshFeed<T>(app: TestApp, work: () => Promise<T>): Promise<T> {
  return app.clock.suspendedDuring(async () => {
    await app.nest.get(RevocationFeed).poll();
    return work();
  });
}

/** Does `work` while no round comes. */
export async function withoutPolls<T>(app: TestApp, work: () => Promise<T>): Promise<T> {
  const goOn = await holdPolls(app);
  try {
    return await work();
  } finally {
    goOn();
  }
}
