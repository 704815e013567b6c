import { type Platform, platformMatches } from '#oci';

/** Which children of an index are wanted. */
export type PlatformChoice = 'all' | readonly Platform[];

/** Whether a child is among the wanted; one that does not say what it is for always is. */
export function isChosen(platform: Platform | undefined, wanted: PlatformChoice | undefined): boolean {
  if (wanted === undefined || wanted === 'all' || !platform) return true;
  return wanted.some((one) => platformMatches(one, platform));
}
