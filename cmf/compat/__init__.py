"""What scripts written for cmflib call, on top of the recorder and the questions of cmf itself."""
