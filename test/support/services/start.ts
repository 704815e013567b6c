import { engineAnswers, hasImage, startContainer } from './container.js';
import { startLocal } from './local.js';
import type { Service, ServiceRecipe } from './service.js';

/** In a container where a Docker engine answers and has or can pull the image, else as a local process. */
export async function startService(recipe: ServiceRecipe): Promise<Service> {
  if (!(await engineAnswers())) return startLocal(recipe);
  try {
    return await startContainer(recipe);
  } catch (error) {
    const { image } = recipe.container;
    if (process.env.OCIREGISTRY_TEST_SERVICES === 'docker' || (await hasImage(image))) throw error;
    process.stderr.write(`services: ${image} cannot be pulled, running ${recipe.name} locally\n`);
    return startLocal(recipe);
  }
}
