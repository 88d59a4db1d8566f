"""What a reader sees: pictures of a layer and of its gradients, and the page that shows them."""
