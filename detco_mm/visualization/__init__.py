"""Pictures and reports of what a run did: curves, views, detections, one HTML page."""
