import { MayBeAbsent } from '../core/field-rules';

export class HealthReport {
  /**
   * `ok`; anything else is answered as an error.
   * @example ok
   */
  status: string;
}

export class ReadinessReport extends HealthReport {
  /**
   * What looks wrong about the configuration, each with the setting to change. Absent when nothing does.
   * @example ['Requests carry forwarded addresses from a hop that is not trusted: set TRUST_PROXY']
   */
  @MayBeAbsent()
  warnings?: string[];
}
