"""The commented spec that `export init` writes, to be edited."""

TEMPLATE = """\
# The spec of a bundle. Build the bundle with: vexas-workshop export bundle THIS_FILE -o NAME.vxb
# Paths and the modules of `module:factory` are looked up from this file's folder.
name = "vexas-site"
version = "1.0.0"
positive = "VEXAS"                  # one of the classifier's classes
# lead = "neutrophil"               # of several models, the one that decides a case's call
# training_data = "which patients, which analyzer, when"
# performance = "what was measured, on whom, with intervals"

[models.neutrophil]
cells = ["neutrophil_segmented", "neutrophil_band"]
encoder = "mylab.nets:build"        # or a backbone: {backbones}
                                    # or "pn.onnx" (then input_layout = "nchw" or "nhwc")
weights = "pn.safetensors"          # not with an .onnx file
preprocessing = "keras-caffe"       # the one that the weights were trained with:
                                    # {preprocessings}
                                    # or {{ mean = [r, g, b], scale = [r, g, b], bgr = false }}
encoding = "l2"                     # what the classifier was fitted on: encodings divided by
                                    # their L2 norm, or "raw": as the encoder returns them
# normalise = "background"          # if each case's bare slide was brought to the cohort's, too;
# background = [254, 230, 204]      # `vexas-workshop train background` measures that
canvas_px = 272                     # the canvas that the encoder was trained with
# larger = "reject"                 # or "crop": what happens to a cell that does not fit
classifier = "pn.skops"             # skops.io.dump(classifier, "pn.skops")
# bag = "bags.safetensors"          # or, instead of encoder, weights, preprocessing, encoding,
                                    # canvas and classifier: what `train bags` has trained
parity_cells = "cells/PN"           # real cells; every step of the export is compared on them
# reference_scores = "mine.csv"     # scores of your own pipeline, which the bundle must give, too:
                                    # sample,score,standard_error (the last if known)
# cohort = "cohort.csv"             # of these patients: patient,sample,path,label,split
# reading = {{ cell_type = "monocyte" }}    # if names do not say the classes; as `score` reads them
# isolate = "isolate.onnx"          # if images show more than one cell; see `vexas-workshop train`
# minimum_cells = 10                # suggested: 50 neutrophils, 10 monocytes, 25 lymphocytes
# judged_typed = true               # if performance was measured on cells that a model had named
# threshold = 0.5                   # the score from which on a case is called positive
# draw_size = 10                    # cells drawn for one median
# score_draws = 1000                # medians that a score is the mean over
# seed = 0

# [budgets.int8]                    # how far the int8 graph may differ from the float32 one
# cosine_p1 = 0.998                 # cosine of encodings, at least, at the 1st percentile of cells
# score_drift = 0.02                # difference of scores, mean over cases
# auc_drop = 0.006                  # loss of ROC-AUC
# flipped_share = 0.025             # share of cases whose call flips
# flip_margin = 0.05                # how close to the threshold such a case must be
# patients_per_class = 3            # fewest patients per class that the gate accepts
# calibration_distance = 0.2        # of the cells for calibration from those for judging
"""
