"""What a recipe, a run or a scene is, before anything is done with it."""
