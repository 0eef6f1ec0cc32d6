import { InitialSchema1795392000000 } from './1795392000000-initial-schema';

/** All migrations, for both engines, oldest first. They only ever add, so that an older release keeps working beside. */
export const migrations = [InitialSchema1795392000000];
