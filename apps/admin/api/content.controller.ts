import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { parseReference } from '#oci';
import { Blob, Image, ImageDetail, Manifest, page, Tag } from './models.js';
import { Operation, Valid } from './openapi.js';
import { type AdminPorts, PORTS } from './ports.js';
import { Refusal } from './problem.js';
import { BlobsQuery, filterOf, ImageQuery, ImagesQuery, ManifestsQuery, pageOf, TagsQuery } from './queries.js';
import { blobView, imageDetailView, imageView, listed, manifestView, tagView } from './views.js';

/** What is cached. */
@ApiTags('content')
@Controller('api/v1')
export class ContentController {
  constructor(@Inject(PORTS) private readonly ports: AdminPorts) {}

  @Get('images')
  @Operation({ summary: 'Tags, and manifests that only their digest names', query: ImagesQuery, answer: page(Image) })
  async images(@Query(new Valid(ImagesQuery)) query: z.output<typeof ImagesQuery>) {
    const wanted = pageOf(query, 'reference');
    return listed(await this.ports.catalog.inventory.images(filterOf(query), wanted), wanted, imageView);
  }

  @Get('image')
  @Operation({
    summary: 'One image in full: its tree, layers and what shares them, the history of its tag',
    query: ImageQuery,
    answer: ImageDetail,
  })
  async image(@Query(new Valid(ImageQuery)) { ref }: z.output<typeof ImageQuery>) {
    const { repository, tag, digest } = parseReference(ref);
    const image = await this.ports.catalog.inventory.image(repository, digest ?? tag ?? 'latest');
    if (!image) throw new Refusal(404, `${ref} is not in the cache`);
    return imageDetailView(image);
  }

  @Get('manifests')
  @Operation({ summary: 'Manifests by repository', query: ManifestsQuery, answer: page(Manifest) })
  async manifests(@Query(new Valid(ManifestsQuery)) query: z.output<typeof ManifestsQuery>) {
    const wanted = pageOf(query, 'repository');
    return listed(await this.ports.catalog.inventory.manifests(filterOf(query), wanted), wanted, manifestView);
  }

  @Get('tags')
  @Operation({ summary: 'Tags', query: TagsQuery, answer: page(Tag) })
  async tags(@Query(new Valid(TagsQuery)) query: z.output<typeof TagsQuery>) {
    const wanted = pageOf(query, 'reference');
    return listed(await this.ports.catalog.inventory.tags(filterOf(query), wanted), wanted, tagView);
  }

  @Get('blobs')
  @Operation({
    summary: 'Stored blobs, which repositories share',
    description: '`pattern` is matched against the digest.',
    query: BlobsQuery,
    answer: page(Blob),
  })
  async blobs(@Query(new Valid(BlobsQuery)) query: z.output<typeof BlobsQuery>) {
    const wanted = pageOf(query, 'digest');
    return listed(await this.ports.catalog.inventory.blobs(filterOf(query), wanted), wanted, blobView);
  }
}
