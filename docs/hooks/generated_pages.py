"""Pages that mkdocs makes from the code each time the site is built."""

from command_reference import commands_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from recipe_reference import recipe_page
from sensor_reference import sensors_page

PAGES = {
    "reference/recipe.md": recipe_page,
    "reference/commands.md": commands_page,
    "reference/sensors.md": sensors_page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those of the folder."""
    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files
