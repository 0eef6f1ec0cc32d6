import { type Failpoint, Failpoints } from '../../src/core/failpoints';
import type { TestApp } from './app';

/** Has every call that passes this place wait for what `wait` gives. The function returned lets them pass again. */
export function stopAt(app: TestApp, place: Failpoint, wait: () => Promise<void>): () => void {
  const failpoints = app.nest.get(Failpoints);
  const reach = failpoints.reach.bind(failpoints);
  failpoints.reach = (point) => (point === place ? wait() : reach(point));
  return () => void (failpoints.reach = reach);
}
