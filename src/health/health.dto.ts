export class HealthReport {
  /**
   * `ok`; anything else is answered as an error.
   * @example ok
   */
  status: string;
}
