import type { Edge, ManifestRecord, NewManifest } from '#catalog';
import { formatPlatform, type ParsedManifest } from '#oci';

/** What the catalog keeps of a manifest beside its bytes. */
export function manifestFacts(manifest: ManifestRecord, parsed: ParsedManifest): NewManifest {
  const edges = parsed.children.map(
    ({ descriptor, kind }): Edge => ({
      child: descriptor.digest,
      kind,
      size: descriptor.size,
      ...(descriptor.platform ? { platform: formatPlatform(descriptor.platform) } : {}),
    }),
  );
  return {
    ...manifest,
    edges,
    ...(parsed.subject ? { subject: parsed.subject } : {}),
    ...(parsed.artifactType ? { artifactType: parsed.artifactType } : {}),
    ...(parsed.annotations ? { annotations: parsed.annotations } : {}),
  };
}
