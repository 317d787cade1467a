"""What a learner reads and answers: modules as folders, checked, kept by digest, drawn, graded."""
