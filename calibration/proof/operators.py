"""The standard operators that TensorRT's parser does not know, as a test asks it."""

INTEGER_OPERATORS = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})

# Of NonZero, which the parser knows by name, TensorRT for RTX lacks the kernel.
UNSUPPORTED_OPERATORS = INTEGER_OPERATORS | {
    *("AffineGrid", "Bernoulli", "BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr"),
    *("BitwiseXor", "CenterCropPad", "Col2Im", "Compress", "ConcatFromSequence", "CumProd"),
    *("DFT", "DeformConv", "Det", "DynamicQuantizeLinear", "ImageDecoder", "MaxRoiPool"),
    *("MaxUnpool", "MelWeightMatrix", "Multinomial", "NegativeLogLikelihoodLoss", "NonZero"),
    *("Optional", "OptionalGetElement", "OptionalHasElement", "RegexFullMatch", "SequenceAt"),
    *("SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength"),
    *("SequenceMap", "SoftmaxCrossEntropyLoss", "SplitToSequence", "StringConcat"),
    *("StringNormalizer", "StringSplit", "SwiGLU", "TfIdfVectorizer", "Unique"),
}
