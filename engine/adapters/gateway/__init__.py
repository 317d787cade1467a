"""For API gateways: what a request means by the route map of the revision, and the answers that each gateway takes."""
