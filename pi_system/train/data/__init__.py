"""Data sets: the embedded digits, CIFAR-10/100 and Tiny-ImageNet-200 as distributed, and trees of image folders."""

from pi_system.train.data.dataset import DataSet, ImageSet
from pi_system.train.data.sample import write_sample
from pi_system.train.data.source import DataConfig, load_data

__all__ = ["DataConfig", "DataSet", "ImageSet", "load_data", "write_sample"]
