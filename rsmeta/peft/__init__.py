"""Parameter-efficient fine-tuning of an unmodified timm ViT, one file a method."""
