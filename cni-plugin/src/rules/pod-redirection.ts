import { netfilterOf, type Backend } from './backend.ts';
import type { CommandRunner } from './command.ts';
import { addRoutes, removeRoutes, routeDifferences } from './policy-routes.ts';
import type { PodRuleOptions } from './pod-rules.ts';
import type { RuleSettings } from './rule.ts';

/** One back end's rules in one pod. */
export interface PodNetfilter {
  /** What is otherwise than it should be, in words for the user; nothing if all is in force. */
  differences(options: PodRuleOptions): readonly string[];
  /** Makes the rules those of `options`; guardrails go. Nothing happens if they are so already. */
  apply(options: PodRuleOptions): void;
  /** Puts the guardrails up. */
  guard(): void;
  /** New connections go their own way again; those through ztunnel live on. */
  stopRedirecting(): void;
  /** Whether anything of ours is there. */
  isPresent(): boolean;
  remove(): void;
}

export interface RedirectionSettings extends RuleSettings {
  readonly backend: Backend;
  /** Back ends that work on this node and may have been used by an earlier agent. */
  readonly others: readonly Backend[];
}

/** Redirection of one pod through its namespace's runner: rules and policy routing. Applying twice is as once. */
export class PodRedirection {
  private readonly runner: CommandRunner;
  private readonly settings: RedirectionSettings;
  private readonly netfilter: PodNetfilter;

  constructor(runner: CommandRunner, settings: RedirectionSettings) {
    this.runner = runner;
    this.settings = settings;
    this.netfilter = netfilterOf(settings.backend, runner, settings);
  }

  apply(options: PodRuleOptions): void {
    for (const version of this.settings.versions) addRoutes(this.runner, version);
    this.netfilter.apply(options);
  }

  /**
   * For a pod that an earlier agent may have redirected, with another back end perhaps. When anything has to change,
   * nothing passes meanwhile. A failure leaves the guardrails up: rather nothing than plaintext past the mesh; the
   * next try takes them down.
   */
  reconcile(options: PodRuleOptions): 'in-force' | 'repaired' {
    const foreign = this.foreign();
    if (foreign.length === 0 && this.differences(options).length === 0) return 'in-force';
    this.netfilter.guard();
    for (const rules of foreign) rules.remove();
    this.apply(options);
    return 'repaired';
  }

  /** What is otherwise than it should be, in words for the user. */
  differences(options: PodRuleOptions): readonly string[] {
    return [
      ...this.settings.versions.flatMap((version) => routeDifferences(this.runner, version)),
      ...this.netfilter.differences(options),
    ];
  }

  stopRedirecting(): void {
    for (const rules of [this.netfilter, ...this.foreign()]) rules.stopRedirecting();
  }

  /** Takes everything away. Connections through ztunnel must have ended. */
  remove(): void {
    for (const rules of [this.netfilter, ...this.foreign()]) rules.remove();
    for (const version of this.settings.versions) removeRoutes(this.runner, version);
  }

  private foreign(): readonly PodNetfilter[] {
    return this.settings.others
      .map((backend) => netfilterOf(backend, this.runner, this.settings))
      .filter((rules) => rules.isPresent());
  }
}
