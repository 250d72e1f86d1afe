"""The types a skops file may hold beyond skops' own defaults (public scikit-learn estimators, plain data, ufuncs).

The list is fixed and reviewed by hand. It is never extended by what a file asks for. Each type was admitted because
restoring it only sets attributes: no call of a name from the file, no import of a module from the file.
"""

TRUSTED_TYPES = (
    # Nodes of decision trees. Compiled code follows their indices unchecked: `tree_bounds` checks them at load.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # Fitted parts of CalibratedClassifierCV.
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    # Named sub-estimators of voting and stacking ensembles: a dict with attribute access.
    "sklearn.utils._bunch.Bunch",
    # Column choice of a ColumnTransformer by type; runs only when fitting.
    "sklearn.compose._column_transformer.make_column_selector",
    # The fill type of SimpleImputer: an empty array read without pickle.
    "numpy.dtype",
    # Optimiser state of MLPClassifier and MLPRegressor; plain numbers, unused when predicting.
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)
