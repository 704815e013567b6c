import { BlobRow, RepositoryBlobRow } from './blob.js';
import { DutyRow, PruneItemRow, PruneJobRow, TotalRow, UsageRow } from './keeping.js';
import { ReferrerListRow, TagListRow } from './list.js';
import { EdgeRow, ManifestRow, RepositoryManifestRow } from './manifest.js';
import { PullLedgerRow } from './pull.js';
import { RepositoryRow } from './repository.js';
import { TagHistoryRow, TagRow } from './tag.js';
import { InstallationRow, UpstreamLedgerRow } from './upstream.js';

export const entities = [
  RepositoryRow,
  ManifestRow,
  EdgeRow,
  RepositoryManifestRow,
  TagRow,
  TagHistoryRow,
  BlobRow,
  RepositoryBlobRow,
  PullLedgerRow,
  UpstreamLedgerRow,
  InstallationRow,
  TagListRow,
  ReferrerListRow,
  UsageRow,
  DutyRow,
  PruneJobRow,
  PruneItemRow,
  TotalRow,
];
