import type { StreamInfo } from '../../engine/types.ts';
import type { RouteLookup } from '../route/route-table.ts';
import type { ChosenRoute } from '../route/route.ts';
import type { ManagerConfig } from './config.ts';

/** The route of one exchange: looked for when somebody asks, and again once a filter wants it forgotten. */
export class RouteChoice {
  private readonly config: ManagerConfig;
  private readonly info: StreamInfo;
  /** For weighted clusters: a second look must not fall on another one. */
  private readonly random: number;
  private lookup: RouteLookup | undefined;
  private known = false;

  constructor(config: ManagerConfig, info: StreamInfo) {
    this.config = config;
    this.info = info;
    this.random = config.engine.random();
  }

  /** What was found last, without looking. */
  get chosen(): ChosenRoute | undefined {
    return this.lookup?.kind === 'route' ? this.lookup.route : undefined;
  }

  get requiresTls(): boolean {
    return this.lookup?.kind === 'require-tls';
  }

  find(): ChosenRoute | undefined {
    const { info } = this;
    if (this.known || info.requestHeaders === undefined) return this.chosen;
    this.known = true;
    this.lookup = this.config.routes()?.find(info.requestHeaders, info, this.random);
    const { chosen } = this;
    if (chosen === undefined) delete info.route;
    else info.route = chosen;
    return chosen;
  }

  forget(): void {
    this.known = false;
  }
}
